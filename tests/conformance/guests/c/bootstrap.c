/* A function without any library: the Runtime API over a bare socket. Answers its event and how often it was called. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static char reply[1 << 20];

/* Sends a request and reads the whole answer, whose body it returns. */
static char *call(const char *host, int port, const char *head, const char *body)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, host, &to.sin_addr);
    int door = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(door, (struct sockaddr *)&to, sizeof to) != 0) exit(11);
    dprintf(door, "%s HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: %zu\r\n\r\n%s", head,
            strlen(body), body);
    size_t length = 0;
    ssize_t got;
    while (length < sizeof reply - 1 && (got = read(door, reply + length, sizeof reply - 1 - length)) > 0)
        length += got;
    reply[length] = 0;
    close(door);
    char *end = strstr(reply, "\r\n\r\n");
    if (!end) exit(12);
    *end = 0;
    return end + 4;
}

static void header(const char *name, char *into, size_t size)
{
    for (char *line = strstr(reply, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, strlen(name)) == 0) {
            char *value = line + 2 + strlen(name) + 2;
            size_t length = strcspn(value, "\r");
            snprintf(into, size, "%.*s", (int)length, value);
            return;
        }
    exit(13);
}

int main(void)
{
    char host[64], id[64], head[256], answer[4096];
    int port = 0;
    sscanf(getenv("AWS_LAMBDA_RUNTIME_API"), "%63[^:]:%d", host, &port);
    for (int calls = 1;; calls++) {
        char *event = call(host, port, "GET /2018-06-01/runtime/invocation/next", "");
        header("Lambda-Runtime-Aws-Request-Id", id, sizeof id);
        printf("C got %s\n", event);
        fflush(stdout);
        snprintf(answer, sizeof answer, "{\"event\":%s,\"calls\":%d,\"handler\":\"%s\"}", event, calls,
                 getenv("_HANDLER"));
        snprintf(head, sizeof head, "POST /2018-06-01/runtime/invocation/%s/response", id);
        call(host, port, head, answer);
    }
}
