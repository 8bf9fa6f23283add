/* A WASI command of a real toolchain: the C library's files, environment, memory and clock, all inside. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(void)
{
    char body[4096];
    size_t length = fread(body, 1, sizeof body - 1, stdin);
    body[length] = 0;
    FILE *host = fopen("/etc/passwd", "r");
    const char *query = getenv("QUERY_STRING");
    char *memory = malloc(1 << 20);
    memset(memory, 7, 1 << 20);
    fprintf(stderr, "the guest read %zu bytes\n", length);
    printf("Status: 201\nContent-Type: text/plain\n\n");
    printf("%s %s [%s] host=%s clock=%s memory=%d\n", getenv("REQUEST_METHOD"), query ? query : "", body,
           host ? "open" : strerror(errno), time(NULL) > 1600000000 ? "yes" : "no", memory[1000]);
    return 0;
}
