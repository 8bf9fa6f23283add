/* Sends one request on each of many connections at once and waits for every answer.
 *
 *     burst ADDRESS PORT PATH CONNECTIONS TIMEOUT_SECONDS
 *
 * The connections are made first, so that what is measured is the server's work. Prints one line of JSON: how
 * many were answered 200, otherwise, and not at all, and the milliseconds from the first byte sent to the
 * median, the 99th percentile and the last answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words) {
    if (count != 6) return 2;
    int wanted = atoi(words[4]), timeout_ms = atoi(words[5]) * 1000;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[2]))};
    inet_pton(AF_INET, words[1], &to.sin_addr);
    char request[1024];
    const char *form = "GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    int length = snprintf(request, sizeof request, form, words[3]);
    int *sockets = calloc(wanted, sizeof *sockets), ready = epoll_create1(0);
    double *took = calloc(wanted, sizeof *took);
    for (int i = 0; i < wanted; i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (sockets[i] < 0 || connect(sockets[i], (struct sockaddr *)&to, sizeof to) != 0) {
            fprintf(stderr, "connection %d: %s\n", i, strerror(errno));
            return 1;
        }
        fcntl(sockets[i], F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(ready, EPOLL_CTL_ADD, sockets[i], &event);
    }
    double began = now_ms();
    for (int i = 0; i < wanted; i++) {
        if (write(sockets[i], request, length) != length) return 1;
    }
    int good = 0, bad = 0, left = wanted;
    while (left > 0 && now_ms() - began < timeout_ms) {
        struct epoll_event events[256];
        int some = epoll_wait(ready, events, 256, 100);
        for (int e = 0; e < some; e++) {
            int i = events[e].data.u32;
            char answer[4096];
            ssize_t got = read(sockets[i], answer, sizeof answer - 1);
            if (got < 0 && errno == EAGAIN) continue;
            /* The answer is short, so its first bytes are all that is looked at. */
            int fine = got > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0;
            took[good + bad] = now_ms() - began;
            if (fine) good++; else bad++;
            left--;
            close(sockets[i]);
        }
    }
    int answered = good + bad;
    qsort(took, answered, sizeof *took, ascending);
    double half = answered ? took[answered / 2] : 0, most = answered ? took[answered * 99 / 100] : 0;
    printf("{\"ok\": %d, \"failed\": %d, \"lost\": %d, ", good, bad, left);
    double last = answered ? took[answered - 1] : 0;
    printf("\"p50_ms\": %.0f, \"p99_ms\": %.0f, \"last_ms\": %.0f}\n", half, most, last);
    return 0;
}
