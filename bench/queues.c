/* Load on queues: many clients of one server in one thread, each with one operation under way.
 *
 *     queues PROTOCOL ADDRESS PORT WHAT CLIENTS BATCH BYTES SECONDS COUNT [MORE...]
 *
 * PROTOCOL is `sqs` (MORE: queue URL, access key, secret key, groups of a FIFO queue or 0), `redis` (streams), `amqp`
 * (0-9-1) or `nats` (JetStream). WHAT is `send`, or `take`: receive and delete. An operation is BATCH messages and is
 * over when the server has confirmed it; only AMQP does not confirm a delete. Goes on for SECONDS and until COUNT
 * messages are done, where neither counts if it is 0. Prints one line of JSON: messages, operations, receives that found nothing,
 * failures, seconds, and the median and the 99th percentile of an operation in microseconds.
 *
 * A client of each protocol in so few lines leaves much out; what it sends is what the protocols' own clients send. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* Of libcrypto, whose headers need not be installed. */
unsigned char *SHA256(const void *data, size_t length, unsigned char *digest);
const void *EVP_sha256(void);
unsigned char *HMAC(const void *kind, const void *key, int key_length, const void *data, size_t length,
                    unsigned char *digest, unsigned *digest_length);

enum { ROOM = 1 << 20, MANY = 10 };
enum outcome { MORE, DONE, EMPTY, FAILED };

struct client {
    int socket, number, step, expected, seen, over;
    char in[ROOM];
    size_t have;
    char *out;
    size_t out_have, out_sent, out_room;
    double began;
    uint64_t tags, acked;
};

static const char *address, *what, *queue_url, *access_key, *secret_key;
static int port, clients, batch, groups, taking;
static char *body;
static size_t body_bytes;
static uint64_t serial;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void die(const char *text) {
    fprintf(stderr, "queues: %s (%s)\n", text, strerror(errno));
    exit(1);
}

static void put(struct client *c, const void *data, size_t length) {
    if (c->out_have + length > c->out_room) {
        c->out_room = (c->out_have + length) * 2;
        c->out = realloc(c->out, c->out_room);
    }
    memcpy(c->out + c->out_have, data, length);
    c->out_have += length;
}

static void print(struct client *c, const char *form, ...) {
    char text[8192];
    va_list words;
    va_start(words, form);
    int length = vsnprintf(text, sizeof text, form, words);
    va_end(words);
    if (length < 0 || length >= (int)sizeof text) die("a request is too long");
    put(c, text, length);
}

/* Drops what was read of the input. */
static void eat(struct client *c, size_t length) {
    c->have -= length;
    memmove(c->in, c->in + length, c->have);
    c->in[c->have] = 0;
}

/* Before the load begins, a client waits for each answer. */
static void flush(struct client *c) {
    while (c->out_sent < c->out_have) {
        ssize_t sent = write(c->socket, c->out + c->out_sent, c->out_have - c->out_sent);
        if (sent < 0) die("write");
        c->out_sent += sent;
    }
    c->out_have = c->out_sent = 0;
}

static void fill(struct client *c) {
    ssize_t came = read(c->socket, c->in + c->have, ROOM - 1 - c->have);
    if (came <= 0) die("the server has hung up");
    c->have += came;
    c->in[c->have] = 0;
}

/* ---- SQS: JSON over HTTP, signed ---- */

static void hex(const unsigned char *from, char *to) {
    for (int i = 0; i < 32; i++) sprintf(to + 2 * i, "%02x", from[i]);
}

static void hash(const void *data, size_t length, char *to) {
    unsigned char digest[32];
    SHA256(data, length, digest);
    hex(digest, to);
}

static void mac(const void *key, int length, const char *text, unsigned char *digest) {
    HMAC(EVP_sha256(), key, length, text, strlen(text), digest, NULL);
}

static void sqs_call(struct client *c, const char *operation, const char *json, size_t length) {
    static char stamp[20], scope[64];
    static unsigned char key[32];
    static time_t until;
    time_t at = time(NULL);
    if (at >= until) {
        char first[256], day[9];
        strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime(&at));
        memcpy(day, stamp, 8);
        day[8] = 0;
        snprintf(scope, sizeof scope, "%s/us-east-1/sqs/aws4_request", day);
        snprintf(first, sizeof first, "AWS4%s", secret_key);
        mac(first, strlen(first), day, key);
        const char *parts[] = {"us-east-1", "sqs", "aws4_request"};
        for (int i = 0; i < 3; i++) mac(key, 32, parts[i], key);
        until = at + 60;
    }
    char digest[65], canonical[1024], text[512], signature[65];
    unsigned char raw[32];
    hash(json, length, digest);
    snprintf(canonical, sizeof canonical,
             "POST\n/\n\nhost:%s:%d\nx-amz-date:%s\nx-amz-target:AmazonSQS.%s\n\nhost;x-amz-date;x-amz-target\n%s",
             address, port, stamp, operation, digest);
    hash(canonical, strlen(canonical), digest);
    snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", stamp, scope, digest);
    mac(key, 32, text, raw);
    hex(raw, signature);
    print(c,
          "POST / HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Date: %s\r\n"
          "X-Amz-Target: AmazonSQS.%s\r\nAuthorization: AWS4-HMAC-SHA256 Credential=%s/%s, "
          "SignedHeaders=host;x-amz-date;x-amz-target, Signature=%s\r\nContent-Length: %zu\r\n\r\n",
          address, port, stamp, operation, access_key, scope, signature, length);
    put(c, json, length);
}

/* What FIFO queues want of each message. */
static int fifo_members(char *to) {
    if (!groups) return 0;
    uint64_t number = serial++;
    return sprintf(to, ",\"MessageGroupId\":\"g%d\",\"MessageDeduplicationId\":\"%d-%llu\"",
                   (int)(number / batch % groups), getpid(), (unsigned long long)number);
}

static void sqs_begin(struct client *c) {
    static char json[ROOM];
    int at = sprintf(json, "{\"QueueUrl\":\"%s\"", queue_url);
    c->step = 0;
    if (taking) {
        at += sprintf(json + at, ",\"MaxNumberOfMessages\":%d,\"WaitTimeSeconds\":1}", batch);
        return sqs_call(c, "ReceiveMessage", json, at);
    }
    if (batch == 1) {
        at += sprintf(json + at, ",\"MessageBody\":\"%s\"", body);
        at += fifo_members(json + at);
        at += sprintf(json + at, "}");
        return sqs_call(c, "SendMessage", json, at);
    }
    at += sprintf(json + at, ",\"Entries\":[");
    for (int i = 0; i < batch; i++) {
        at += sprintf(json + at, "%s{\"Id\":\"%d\",\"MessageBody\":\"%s\"", i ? "," : "", i, body);
        at += fifo_members(json + at);
        at += sprintf(json + at, "}");
    }
    at += sprintf(json + at, "]}");
    sqs_call(c, "SendMessageBatch", json, at);
}

static enum outcome sqs_read(struct client *c) {
    static char json[ROOM];
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) return MORE;
    char *length = strcasestr(c->in, "content-length:");
    size_t whole = end + 4 - c->in + (length && length < end ? strtoul(length + 15, NULL, 10) : 0);
    if (c->have < whole) return MORE;
    int good = strncmp(c->in + 9, "200", 3) == 0 && !strstr(end, "\"SenderFault\"");
    if (!good && getenv("SAY")) fprintf(stderr, "%s\n", c->in);
    int at = sprintf(json, "{\"QueueUrl\":\"%s\"", queue_url), found = 0;
    if (good && taking && c->step == 0) {
        if (batch > 1) at += sprintf(json + at, ",\"Entries\":[");
        for (char *handle = end; (handle = strstr(handle, "\"ReceiptHandle\":\"")); found++) {
            handle += 17;
            int size = strchr(handle, '"') - handle;
            if (batch > 1) at += sprintf(json + at, "%s{\"Id\":\"%d\",", found ? "," : "", found);
            else json[at++] = ',';
            at += sprintf(json + at, "\"ReceiptHandle\":\"%.*s\"%s", size, handle, batch > 1 ? "}" : "");
        }
        at += sprintf(json + at, batch > 1 ? "]}" : "}");
    }
    eat(c, whole);
    if (!good) return FAILED;
    if (!taking) {
        c->seen = batch;
        return DONE;
    }
    if (c->step == 1) return DONE;
    if (!found) return EMPTY;
    c->seen = found;
    c->step = 1;
    sqs_call(c, batch > 1 ? "DeleteMessageBatch" : "DeleteMessage", json, at);
    return MORE;
}

/* ---- Redis: a stream with a consumer group ---- */

/* The end of a value, or NULL if it is not all there. */
static char *resp_end(char *at) {
    char *line = strstr(at, "\r\n");
    if (!line) return NULL;
    long count = strtol(at + 1, NULL, 10);
    line += 2;
    if (*at == '$') return count < 0 ? line : line + count + 2;
    if (*at != '*') return line;
    for (; line && count > 0; count--) line = *line ? resp_end(line) : NULL;
    return line;
}

static void redis_open(struct client *c) {
    print(c, "XGROUP CREATE s g 0 MKSTREAM\r\n");
    flush(c);
    while (!strstr(c->in, "\r\n")) fill(c);
    eat(c, c->have);
}

static void redis_begin(struct client *c) {
    c->step = 0;
    c->expected = taking ? 1 : batch;
    if (taking) return print(c, "XREADGROUP GROUP g c%d COUNT %d STREAMS s >\r\n", c->number, batch);
    for (int i = 0; i < batch; i++) {
        print(c, "*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nb\r\n$%zu\r\n", body_bytes);
        put(c, body, body_bytes);
        put(c, "\r\n", 2);
    }
}

static enum outcome redis_read(struct client *c) {
    for (; c->have > 0; c->expected--) {
        if (c->expected == 0) return FAILED;
        char *end = resp_end(c->in);
        if (!end || end > c->in + c->have) return MORE;
        if (*c->in == '-') return FAILED;
        if (taking && c->step == 0) {
            char ids[MANY][40], *at = c->in;
            if (strncmp(at, "*-1", 3) == 0) return eat(c, end - c->in), EMPTY;
            /* One stream: its name and its entries, each an id and its fields. */
            for (int skip = 0; skip < 4; skip++) at = strstr(at, "\r\n") + 2;
            c->seen = atoi(at + 1);
            at = strstr(at, "\r\n") + 2;
            for (int i = 0; i < c->seen; i++) {
                at = strstr(strstr(at, "\r\n") + 2, "\r\n") + 2;
                sscanf(at, "%39[0-9-]", ids[i]);
                at = resp_end(strstr(at, "\r\n") + 2);
            }
            eat(c, end - c->in);
            for (int turn = 0; turn < 2; turn++) {
                print(c, turn ? "XDEL s" : "XACK s g");
                for (int i = 0; i < c->seen; i++) print(c, " %s", ids[i]);
                print(c, "\r\n");
            }
            c->step = 1;
            c->expected = 2;
            return MORE;
        }
        eat(c, end - c->in);
    }
    if (c->expected > 0) return MORE;
    if (!taking) c->seen = batch;
    return DONE;
}

/* ---- AMQP 0-9-1: a durable queue, persistent messages, confirmed ---- */

static void octets(struct client *c, int count, uint64_t value) {
    value = htobe64(value);
    put(c, (char *)&value + 8 - count, count);
}

static void word(struct client *c, const char *text) {
    octets(c, 1, strlen(text));
    put(c, text, strlen(text));
}

static size_t frame_at;

static void frame(struct client *c, int kind, int channel) {
    octets(c, 1, kind);
    octets(c, 2, channel);
    octets(c, 4, 0);
    frame_at = c->out_have;
}

static void end_frame(struct client *c) {
    uint32_t size = htobe32(c->out_have - frame_at);
    memcpy(c->out + frame_at - 4, &size, 4);
    octets(c, 1, 0xce);
}

static void method(struct client *c, int channel, int class, int number) {
    frame(c, 1, channel);
    octets(c, 2, class);
    octets(c, 2, number);
}

static uint64_t number_at(const char *at, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | (unsigned char)at[i];
    return value;
}

/* The bytes of the first frame of the input, 0 if it is not all there. */
static size_t framed(struct client *c) {
    if (c->have < 7) return 0;
    size_t whole = number_at(c->in + 3, 4) + 8;
    return c->have < whole ? 0 : whole;
}

static void amqp_await(struct client *c, int class, int number) {
    flush(c);
    for (size_t whole;; eat(c, whole)) {
        while (!(whole = framed(c))) fill(c);
        if (c->in[0] == 1 && number_at(c->in + 7, 2) == (uint64_t)class && number_at(c->in + 9, 2) == (uint64_t)number) {
            eat(c, whole);
            return;
        }
        if (c->in[0] == 1 && number_at(c->in + 9, 2) == 50) die("the broker closes");
    }
}

static void amqp_open(struct client *c) {
    put(c, "AMQP\0\0\11\1", 8);
    amqp_await(c, 10, 10);
    method(c, 0, 10, 11);
    octets(c, 4, 0);
    word(c, "PLAIN");
    octets(c, 4, 12);
    put(c, "\0guest\0guest", 12);
    word(c, "en_US");
    end_frame(c);
    amqp_await(c, 10, 30);
    method(c, 0, 10, 31);
    octets(c, 2, 2047), octets(c, 4, 131072), octets(c, 2, 0);
    end_frame(c);
    method(c, 0, 10, 40);
    word(c, "/"), word(c, ""), octets(c, 1, 0);
    end_frame(c);
    amqp_await(c, 10, 41);
    method(c, 1, 20, 10);
    word(c, "");
    end_frame(c);
    amqp_await(c, 20, 11);
    method(c, 1, 50, 10);
    octets(c, 2, 0), word(c, "q"), octets(c, 1, 2), octets(c, 4, 0);
    end_frame(c);
    amqp_await(c, 50, 11);
    if (!taking) {
        method(c, 1, 85, 10);
        octets(c, 1, 0);
        end_frame(c);
        return amqp_await(c, 85, 11);
    }
    method(c, 1, 60, 10);
    octets(c, 4, 0), octets(c, 2, batch), octets(c, 1, 0);
    end_frame(c);
    amqp_await(c, 60, 11);
    method(c, 1, 60, 20);
    octets(c, 2, 0), word(c, "q"), word(c, "c"), octets(c, 1, 0), octets(c, 4, 0);
    end_frame(c);
    amqp_await(c, 60, 21);
}

static void amqp_begin(struct client *c) {
    c->seen = 0;
    c->acked = 0;
    if (taking) return;
    for (int i = 0; i < batch; i++) {
        method(c, 1, 60, 40);
        octets(c, 2, 0), word(c, ""), word(c, "q"), octets(c, 1, 0);
        end_frame(c);
        frame(c, 2, 1);
        octets(c, 2, 60), octets(c, 2, 0), octets(c, 8, body_bytes), octets(c, 2, 0x1000), octets(c, 1, 2);
        end_frame(c);
        frame(c, 3, 1);
        put(c, body, body_bytes);
        end_frame(c);
    }
}

static enum outcome amqp_read(struct client *c) {
    for (size_t whole; (whole = framed(c)); eat(c, whole)) {
        int kind = c->in[0], class = number_at(c->in + 7, 2), number = number_at(c->in + 9, 2);
        if (kind == 1 && (class != 60 || (number != 80 && number != 60))) return FAILED;
        if (kind == 1 && number == 80) {
            uint64_t tag = number_at(c->in + 11, 8) - c->tags, mask = (2ull << (tag - 1)) - 1;
            c->acked |= c->in[19] & 1 ? mask : 1ull << (tag - 1);
        }
        if (kind == 1 && number == 60) c->tags = number_at(c->in + 11 + 1 + c->in[11], 8);
        /* A delivery is whole with its body. */
        if (kind == 3 && taking && ++c->seen == batch) {
            method(c, 1, 60, 80);
            octets(c, 8, c->tags), octets(c, 1, 1);
            end_frame(c);
            eat(c, whole);
            return DONE;
        }
    }
    if (taking || c->acked != (1ull << batch) - 1) return MORE;
    c->tags += batch;
    c->seen = batch;
    return DONE;
}

/* ---- NATS: a JetStream stream that is a work queue, and a pull consumer ---- */

static void nats_ask(struct client *c, const char *subject, const char *json) {
    print(c, "PUB %s i%d %zu\r\n%s\r\n", subject, c->number, strlen(json), json);
    flush(c);
    while (!strstr(c->in, "}\r\n")) fill(c);
    if (strstr(c->in, "\"error\"") && getenv("SAY")) fprintf(stderr, "%s\n", c->in);
    eat(c, c->have);
}

static void nats_open(struct client *c) {
    while (!strstr(c->in, "\r\n")) fill(c);
    eat(c, c->have);
    print(c, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n");
    print(c, "SUB i%d 1\r\nPING\r\n", c->number);
    flush(c);
    while (!strstr(c->in, "PONG\r\n")) fill(c);
    eat(c, c->have);
    if (c->number > 0) return;
    nats_ask(c, "$JS.API.STREAM.CREATE.Q",
             "{\"name\":\"Q\",\"subjects\":[\"q\"],\"retention\":\"workqueue\",\"storage\":\"file\",\"num_replicas\":1,"
             "\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"discard\":\"old\"}");
    nats_ask(c, "$JS.API.CONSUMER.DURABLE.CREATE.Q.c",
             "{\"stream_name\":\"Q\",\"config\":{\"durable_name\":\"c\",\"ack_policy\":\"explicit\","
             "\"deliver_policy\":\"all\",\"max_ack_pending\":100000}}");
}

static void nats_begin(struct client *c) {
    c->seen = c->step = 0;
    c->expected = batch;
    if (taking) {
        char wish[64];
        int length = sprintf(wish, "{\"batch\":%d,\"no_wait\":true}", batch);
        return print(c, "PUB $JS.API.CONSUMER.MSG.NEXT.Q.c i%d %d\r\n%s\r\n", c->number, length, wish);
    }
    for (int i = 0; i < batch; i++) {
        print(c, "PUB q i%d %zu\r\n", c->number, body_bytes);
        put(c, body, body_bytes);
        put(c, "\r\n", 2);
    }
}

static enum outcome nats_read(struct client *c) {
    for (char *line; (line = strstr(c->in, "\r\n"));) {
        char subject[128], id[16], reply[256];
        if (strncmp(c->in, "PING", 4) == 0) {
            print(c, "PONG\r\n");
            eat(c, line + 2 - c->in);
            continue;
        }
        int headed = c->in[0] == 'H', fields;
        if (strncmp(c->in + headed, "MSG ", 4) != 0) return FAILED;
        *line = 0;
        char *size = strrchr(c->in, ' ');
        fields = sscanf(c->in + headed + 4, "%127s %15s %255s", subject, id, reply);
        *line = '\r';
        size_t whole = line + 2 - c->in + strtoul(size, NULL, 10) + 2;
        if (fields < 3 || !size) return FAILED;
        if (c->have < whole) return MORE;
        int is_message = strncmp(reply, "$JS.ACK.", 8) == 0, bad = strncmp(line + 2, "{\"error\"", 8) == 0;
        eat(c, whole);
        if (bad) return FAILED;
        if (is_message) {
            print(c, "PUB %s i%d 4\r\n+ACK\r\n", reply, c->number);
            c->seen++;
        } else if (headed && taking) {
            /* There are no more messages for now. */
            c->expected = c->seen;
        } else {
            c->step++;
        }
        if (c->step == c->expected) {
            if (taking && !c->seen) return EMPTY;
            c->seen = c->expected;
            return DONE;
        }
    }
    return MORE;
}

/* ---- The load ---- */

static void nothing(struct client *c) { (void)c; }

static const struct protocol {
    const char *name;
    void (*open)(struct client *);
    void (*begin)(struct client *);
    enum outcome (*read)(struct client *);
} protocols[] = {
    {"sqs", nothing, sqs_begin, sqs_read},
    {"redis", redis_open, redis_begin, redis_read},
    {"amqp", amqp_open, amqp_begin, amqp_read},
    {"nats", nats_open, nats_begin, nats_read},
};

static struct client *connect_one(const struct protocol *protocol, int number) {
    struct client *c = calloc(1, sizeof *c);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    inet_pton(AF_INET, address, &to.sin_addr);
    c->number = number;
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    protocol->open(c);
    fcntl(c->socket, F_SETFL, O_NONBLOCK);
    return c;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Sends what is waiting to be sent; the rest of it when the socket can take more. */
static void push(struct client *c, int ready) {
    while (c->out_sent < c->out_have) {
        ssize_t sent = write(c->socket, c->out + c->out_sent, c->out_have - c->out_sent);
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) die("write");
        c->out_sent += sent;
    }
    int left = c->out_sent < c->out_have;
    if (!left) c->out_have = c->out_sent = 0;
    struct epoll_event event = {.events = EPOLLIN | (left ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(ready, EPOLL_CTL_MOD, c->socket, &event);
}

static struct {
    size_t operations, room;
    float *took;
    long messages, empty, failed, under_way, wanted;
    double end, last;
} load;

static void begin(const struct protocol *protocol, struct client *c, int ready) {
    c->began = now();
    protocol->begin(c);
    push(c, ready);
}

/* Goes on with what has come: the end of an operation is the begin of the next. */
static void go_on(const struct protocol *protocol, struct client *c, int ready) {
    while (c->have > 0 && !c->over) {
        enum outcome outcome = protocol->read(c);
        double at = now();
        if (outcome == MORE) {
            if (c->out_have) push(c, ready);
            return;
        }
        if (outcome == DONE) {
            if (load.operations == load.room) load.took = realloc(load.took, (load.room *= 2) * sizeof *load.took);
            load.took[load.operations++] = (at - c->began) * 1e6;
            load.messages += c->seen;
            load.last = at;
        }
        load.empty += outcome == EMPTY;
        load.failed += outcome == FAILED;
        /* The others that are under way bring as much as they can. */
        long expected = load.messages + (load.under_way - 1) * batch;
        if (load.failed > 1000 || at >= load.end || (load.wanted && expected >= load.wanted)) {
            push(c, ready);
            c->over = 1;
            load.under_way--;
            return;
        }
        begin(protocol, c, ready);
    }
}

int main(int count, char **words) {
    if (count < 10) die("usage");
    const struct protocol *protocol = protocols;
    while (strcmp(protocol->name, words[1])) {
        if (++protocol == protocols + 4) die("no such protocol");
    }
    address = words[2], port = atoi(words[3]), what = words[4], taking = strcmp(what, "take") == 0;
    clients = atoi(words[5]), batch = atoi(words[6]), body_bytes = atoi(words[7]);
    double seconds = atof(words[8]);
    long wanted = atol(words[9]);
    if (batch < 1 || batch > MANY) die("a batch has up to ten messages");
    if (count > 12) queue_url = words[10], access_key = words[11], secret_key = words[12];
    if (count > 13) groups = atoi(words[13]);
    body = malloc(body_bytes + 1);
    for (size_t i = 0; i < body_bytes; i++) body[i] = 'a' + rand() % 26;
    body[body_bytes] = 0;

    int ready = epoll_create1(0);
    struct client **all = calloc(clients, sizeof *all);
    for (int i = 0; i < clients; i++) {
        all[i] = connect_one(protocol, i);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = all[i]};
        epoll_ctl(ready, EPOLL_CTL_ADD, all[i]->socket, &event);
    }
    load.took = calloc(load.room = 1 << 20, sizeof *load.took);
    load.wanted = wanted;
    double began = now();
    load.last = began;
    load.end = began + (seconds > 0 ? seconds : 1e9);
    load.under_way = clients;
    for (int i = 0; i < clients; i++) {
        begin(protocol, all[i], ready);
        go_on(protocol, all[i], ready);
    }
    while (load.under_way > 0) {
        struct epoll_event events[256];
        int found = epoll_wait(ready, events, 256, 2000);
        /* A client for whom nothing comes any more, as AMQP's do, ends with the rest. */
        if (found <= 0 || now() > load.end + 5) break;
        for (int i = 0; i < found; i++) {
            struct client *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) push(c, ready);
            if (!(events[i].events & (EPOLLIN | EPOLLHUP))) continue;
            ssize_t came = read(c->socket, c->in + c->have, ROOM - 1 - c->have);
            if (came < 0 && errno == EAGAIN) continue;
            if (came <= 0) die("the server has hung up");
            c->have += came;
            c->in[c->have] = 0;
            go_on(protocol, c, ready);
        }
    }
    qsort(load.took, load.operations, sizeof *load.took, ascending);
    size_t last = load.operations ? load.operations - 1 : 0, most = load.operations * 0.99;
    printf("{\"messages\":%ld,\"operations\":%zu,\"empty\":%ld,\"failed\":%ld,\"seconds\":%.4f,\"p50\":%.1f,\"p99\":%.1f}\n",
           load.messages, load.operations, load.empty, load.failed, load.last - began, load.took[load.operations / 2],
           load.took[most < last ? most : last]);
    return 0;
}
