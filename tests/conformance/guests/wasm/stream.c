/* Writes an answer in two parts. With the query "hang" the second never comes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(void)
{
    char body[64] = {0};
    const char *query = getenv("QUERY_STRING");
    size_t length = fread(body, 1, sizeof body - 1, stdin);
    int hangs = (query && strstr(query, "hang")) || (length && strstr(body, "hang"));
    printf("Content-Type: text/plain\n\nfirst");
    fflush(stdout);
    while (hangs) {
        struct timespec second = {1, 0};
        nanosleep(&second, NULL);
    }
    printf(" second");
    return 0;
}
