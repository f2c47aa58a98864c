"""Write a package as a container image's Dockerfile and context.

    Dockerfile
    task/          becomes /var/task: the package, as in the zip for Lambda's own runtimes

The base is AWS's image of the same Python. Its entry point starts AWS's client, and this one
starts okibi. `CMD` names the handler, and Lambda passes it to the entry point.

SnapStart needs no label in the Dockerfile: okibi calls /restore/next.
"""

import json
from pathlib import Path

from ..project import RESULT
from ..staging import Staged
from .image_context import base_image, close_context, move_into, open_context

ENTRYPOINT = "/var/task/bootstrap"
DOCKERFILE = """\
{made_by}
# In this folder:
#
#   docker build -t my-function .
#   docker run -p 9000:8080 --entrypoint /usr/local/bin/aws-lambda-rie my-function \\
#     {entrypoint} {handler}
#   curl -d '{{}}' http://localhost:9000/2015-03-31/functions/function/invocations
{base}
COPY task/ /var/task/
ENTRYPOINT {entry}
CMD {command}
"""


def write_image(staged: Staged, output: Path) -> None:
    """Write Dockerfile and context.

    Args:
        staged: the package. Its files are moved.
        output: the folder to write.

    Raises:
        BadInput: the folder holds something else.
    """
    open_context(output)
    move_into(staged.folder, output / "task")
    text = DOCKERFILE.format(
        made_by=RESULT,
        handler=staged.handler,
        base=base_image(staged.target),
        entrypoint=ENTRYPOINT,
        entry=json.dumps([ENTRYPOINT]),
        command=json.dumps([staged.handler]),
    )
    (output / "Dockerfile").write_text(text, "utf-8")
    close_context(output)
