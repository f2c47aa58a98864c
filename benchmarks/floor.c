/* The floor in C: a blocking, pipelining socket, as in floor.py. */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char NEXT[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
static const char LENGTH[] = "Content-Length: ", ID[] = "Lambda-Runtime-Aws-Request-Id: ";

static int api;
/* Received and unread bytes: `start` to `end` of a growing buffer. */
static char *buffer;
static size_t start, end, room;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void more(void) {
    if (end + 65536 + 1 > room) {
        room = 2 * room + 65536 + 1;
        buffer = realloc(buffer, room);
        if (!buffer) fail("realloc");
    }
    ssize_t came = recv(api, buffer + end, 65536, 0);
    if (came <= 0) fail("recv");
    end += (size_t)came;
    buffer[end] = 0;
}

/* Wait for `text` after `from` and return its offset. Only heads are searched. */
static size_t wait_for(const char *text, size_t from) {
    char *found;
    while (end <= from || !(found = strstr(buffer + from, text))) more();
    return (size_t)(found - buffer);
}

static void need(size_t upto) {
    while (end < upto) more();
}

/* Join a chunked body in place: every event above 2 KB is chunked. */
static size_t unchunk(size_t at, size_t *after) {
    size_t size = 0, begin = at;
    for (;;) {
        size_t line = wait_for("\r\n", at);
        size_t length = strtoul(buffer + at, NULL, 16);
        need(line + 2 + length + 2);
        memmove(buffer + begin + size, buffer + line + 2, length);
        size += length;
        at = line + 2 + length + 2;
        if (!length) break;
    }
    *after = at;
    return size;
}

static void send_all(const char *data, size_t size) {
    while (size) {
        ssize_t sent = send(api, data, size, MSG_NOSIGNAL);
        if (sent <= 0) fail("send");
        data += sent;
        size -= (size_t)sent;
    }
}

int main(void) {
    char host[64];
    const char *address = getenv("AWS_LAMBDA_RUNTIME_API"), *colon = address ? strchr(address, ':') : NULL;
    if (!colon || (size_t)(colon - address) >= sizeof host) return 2;
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(colon + 1))};
    int on = 1;
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1) return 2;
    if ((api = socket(AF_INET, SOCK_STREAM, 0)) < 0) fail("socket");
    if (connect(api, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(api, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    send_all(NEXT, sizeof NEXT - 1);
    char *answer = NULL;
    size_t answer_room = 0;
    for (;;) {
        size_t body = wait_for("\r\n\r\n", start) + 4, after, size;
        char saved = buffer[body];
        buffer[body] = 0;
        int accepted = !strncmp(buffer + start, "HTTP/1.1 202", 12);
        char *told = strstr(buffer + start, LENGTH), *id = strstr(buffer + start, ID);
        char request_id[128] = "";
        if (id) sscanf(id + sizeof ID - 1, "%127[^\r]", request_id);
        size = told ? strtoul(told + sizeof LENGTH - 1, NULL, 10) : 0;
        buffer[body] = saved;
        if (told) {
            need(body + size);
            after = body + size;
        } else {
            size = unchunk(body, &after);
        }
        if (!accepted) {
            if (size + 512 > answer_room) {
                answer_room = size + 512;
                answer = realloc(answer, answer_room);
                if (!answer) fail("realloc");
            }
            int head = snprintf(answer, 512,
                "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
                "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", request_id, size);
            memcpy(answer + head, buffer + body, size);
            memcpy(answer + head + size, NEXT, sizeof NEXT - 1);
            send_all(answer, (size_t)head + size + sizeof NEXT - 1);
        }
        start = after;
        if (start == end) start = end = 0, buffer[0] = 0;
    }
}
