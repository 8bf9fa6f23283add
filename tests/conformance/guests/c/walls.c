/* System calls that a language's own library would not make, by number and by the other interfaces of the processor.
   Each runs in a child, because some of them end it. Prints `name outcome` lines. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct clone3_args { unsigned long flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; };

static long clone3_user(void)
{
    struct clone3_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) _exit(0);
    return pid;
}

static long clone_user(void)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    return pid;
}

static long push_key(void)
{
    int terminal = open("/dev/tty", O_RDWR);
    return ioctl(terminal < 0 ? 0 : terminal, TIOCSTI, "x");
}

static long thirty_two_bits(void)
{
#ifdef __x86_64__
    long done; /* mount, as 32-bit programs number it */
    __asm__ volatile("int $0x80" : "=a"(done) : "a"(21), "b"(0), "c"(0), "d"(0), "S"(0), "D"(0) : "memory");
    errno = done < 0 ? (int)-done : 0;
    return done < 0 ? -1 : 0;
#else
    errno = ENOSYS;
    return -1;
#endif
}

static long x32_mount(void)
{
#ifdef __x86_64__
    return syscall(0x40000000 | SYS_mount, 0, 0, 0, 0, 0);
#else
    errno = EPERM;
    return -1;
#endif
}

static long kernel_module(void) { return syscall(SYS_init_module, "", 0, ""); }
static long kexec(void) { return syscall(SYS_kexec_load, 0, 0, 0, 0); }
static long detached_tree(void) { return syscall(SYS_open_tree, -100, "/", 1); }
static long tree_with_attributes(void) { return syscall(467, -100, "/", 1, 0, 0); }
static long list_mounts(void) { return syscall(458, 0, 0, 0, 0); }
static long ring(void) { return syscall(SYS_io_uring_setup, 1, 0); }
static long enter_network(void) { return syscall(SYS_setns, open("/proc/self/ns/net", O_RDONLY), CLONE_NEWNET); }
static long read_first(void) { return syscall(SYS_process_vm_readv, 1, 0, 0, 0, 0, 0); }

int main(void)
{
    struct { const char *name; long (*run)(void); } all[] = {
        { "clone3", clone3_user }, { "clone", clone_user }, { "tiocsti", push_key },
        { "int80", thirty_two_bits }, { "x32", x32_mount }, { "module", kernel_module }, { "kexec", kexec },
        { "open_tree", detached_tree }, { "open_tree_attr", tree_with_attributes }, { "listmount", list_mounts },
        { "io_uring", ring }, { "process_vm_readv", read_first },
        { "setns", enter_network },
    };
    for (size_t at = 0; at < sizeof all / sizeof *all; at++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            errno = 0;
            _exit(all[at].run() < 0 ? errno : 0);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        if (WIFSIGNALED(status)) printf("%s signal%d\n", all[at].name, WTERMSIG(status));
        else printf("%s %s\n", all[at].name, WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "allowed");
    }
    return 0;
}
