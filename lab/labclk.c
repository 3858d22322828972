/* A wrong clock for one host of the lab: preloaded into its processes, it shifts the real-time clock and the
 * timestamps that libpcap hands to tcpdump.  The machine's own clock is never touched.
 *
 * Reads /lab/clock (mapped, so that it can be changed while processes run):
 *   int64 offset_ns, double drift_ppm, int64 since_ns (true time from which the drift counts),
 *   int64 step_at_ns (true time, 0 for none), int64 step_ns
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

struct shift { int64_t offset_ns; double drift_ppm; int64_t since_ns, step_at_ns, step_ns; };

static const struct shift *current(void) {
    static const struct shift *found;
    static int tried;
    if (!tried) {
        int fd = open("/lab/clock", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            void *memory = mmap(0, sizeof(struct shift), PROT_READ, MAP_SHARED, fd, 0);
            close(fd);
            if (memory != MAP_FAILED) found = memory;
        }
        tried = 1;
    }
    return found;
}

static int64_t shifted(int64_t true_ns) {
    const struct shift *s = current();
    if (!s) return true_ns;
    int64_t wrong = true_ns + s->offset_ns + (int64_t)(s->drift_ppm * 1e-6 * (double)(true_ns - s->since_ns));
    return s->step_at_ns && true_ns >= s->step_at_ns ? wrong + s->step_ns : wrong;
}

int clock_gettime(clockid_t id, struct timespec *out) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real ? real(id, out) : (int)syscall(SYS_clock_gettime, id, out);
    if (!result && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t ns = shifted(out->tv_sec * SECOND + out->tv_nsec);
        out->tv_sec = ns / SECOND;
        out->tv_nsec = ns % SECOND;
    }
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

struct packet_header { struct timeval ts; uint32_t caplen, len; };
typedef void (*handler)(unsigned char *, const struct packet_header *, const unsigned char *);
struct wrapped { handler callback; unsigned char *user; int64_t unit_ns; };

static void on_packet(unsigned char *user, const struct packet_header *header, const unsigned char *bytes) {
    struct wrapped *w = (struct wrapped *)user;
    struct packet_header copy = *header;
    int64_t ns = shifted(header->ts.tv_sec * SECOND + header->ts.tv_usec * w->unit_ns);
    copy.ts.tv_sec = ns / SECOND;
    copy.ts.tv_usec = (ns % SECOND) / w->unit_ns;
    w->callback(w->user, &copy, bytes);
}

/* tcpdump reads live packets through pcap_loop; a file that it reads back keeps its times. */
int pcap_loop(void *handle, int count, handler callback, unsigned char *user) {
    int (*real)(void *, int, handler, unsigned char *) = dlsym(RTLD_NEXT, "pcap_loop");
    void *(*file)(void *) = dlsym(RTLD_NEXT, "pcap_file");
    int (*precision)(void *) = dlsym(RTLD_NEXT, "pcap_get_tstamp_precision");
    if (!current() || (file && file(handle))) return real(handle, count, callback, user);
    struct wrapped w = {callback, user, precision && precision(handle) == 1 ? 1 : 1000};
    return real(handle, count, on_packet, (unsigned char *)&w);
}
