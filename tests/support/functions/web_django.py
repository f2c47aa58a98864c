"""A Django application by WSGI and by ASGI, and the function that serves it by WSGI."""

import threading
import time

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

from okibi.web import WSGI

meeting = threading.Barrier(16)


def note(request, name):
    return JsonResponse(
        {
            "name": name,
            "query": dict(request.GET.lists()),
            "url": request.build_absolute_uri(request.path),
            "root": request.META["SCRIPT_NAME"],
            "client": request.META["REMOTE_ADDR"],
            "cookies": dict(request.COOKIES),
        }
    )


@require_POST
def echo(request):
    return HttpResponse(request.body, content_type=request.content_type)


def upload(request):
    sent = request.FILES["file"]
    return JsonResponse(
        {"name": sent.name, "size": len(sent.read()), "title": request.POST["title"]}
    )


def cookies(request):
    response = HttpResponseRedirect("/notes/next")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", path="/notes")
    return response


def stream(request):
    pieces = (f"line {number}\n" for number in range(3))
    return StreamingHttpResponse(pieces, content_type="text/plain")


def empty(request):
    return HttpResponse(status=204)


def fail(request):
    raise ValueError("the view failed")


def late(request):
    time.sleep(60)


def meet(request):
    """Answer when 16 requests are here at once."""
    meeting.wait(30)
    return HttpResponse(request.GET["number"])


urlpatterns = [
    path("notes/<name>", note),
    *(
        path(view.__name__, view)
        for view in (echo, upload, cookies, stream, empty, fail, late, meet)
    ),
]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[], LOGGING_CONFIG=None)
django.setup()
app, by_asgi = get_wsgi_application(), get_asgi_application()
handler = WSGI(app)
