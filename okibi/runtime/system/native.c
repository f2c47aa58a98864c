/* What okibi does in C, in three parts: it encodes results as JSON, ends a process that C code blocks, and calls
   functions of the system. Each part is optional: okibi works without this module.

   Built against Python's stable ABI, so that one file serves 3.11 and later. No format with "#" (s#, y#): compiled
   with the headers of 3.13 or later, 3.11 and 3.12 refuse it. */

#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <pthread.h>
#include <sys/prctl.h>
#endif

/* -- encode a result as JSON (`codec.json`)

   The bytes are the official client's: the standard library's spaces, floats and order.

   Supports exactly str, int of 64 bits, finite float, bool, None, list, tuple and dict with keys of exactly
   str, at most DEEPEST levels. For any other value the functions return None, and `codec.json` uses its
   other encoders, which have all the rules. No Python code can run here, except where encoding stops at once
   (`put_text`). Borrowed references are therefore safe, and no container changes during the encoding.

   This part exists for speed only (benchmarks/README.md, "JSON"). The standard library's encoder allocates a
   string for each key and value, and needs a pass over the result before it, to refuse subclasses. No
   library writes the same bytes faster. A side effect: a string beyond ASCII caches its UTF-8, as with
   msgspec. */

enum { DEEPEST = 100, SMALL = 4096 };

/* FAILED: an exception is set, for example MemoryError. UNSUPPORTED: `codec.json` uses another encoder. */
typedef enum { WRITTEN, UNSUPPORTED, FAILED } Status;

#define TRY(what)                                                                                        \
    do {                                                                                                 \
        Status status_ = (what);                                                                         \
        if (status_ != WRITTEN) return status_;                                                          \
    } while (0)

/* The JSON written so far. Small results, which are most, need no allocation. */
typedef struct {
    char *at;
    Py_ssize_t used, capacity;
    int escaped; /* escape DEL and characters beyond ASCII, as the standard library does */
    PyObject *open[DEEPEST]; /* the containers being written, from the outermost */
    char small[SMALL];
} Json;

static Status reserve(Json *json, Py_ssize_t more)
{
    if (more <= json->capacity - json->used) return WRITTEN;
    if (more > PY_SSIZE_T_MAX / 2 - json->used) {
        PyErr_NoMemory();
        return FAILED;
    }
    Py_ssize_t capacity = 2 * (json->used + more);
    char *at = PyMem_Realloc(json->at == json->small ? NULL : json->at, (size_t)capacity);
    if (at == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    if (json->at == json->small) memcpy(at, json->small, (size_t)json->used);
    json->at = at;
    json->capacity = capacity;
    return WRITTEN;
}

static inline Status put(Json *json, const char *piece, Py_ssize_t length)
{
    TRY(reserve(json, length));
    memcpy(json->at + json->used, piece, (size_t)length);
    json->used += length;
    return WRITTEN;
}

static Status put_unit(Json *json, unsigned unit)
{
    static const char hex[] = "0123456789abcdef";
    const char escape[] = {
        '\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
    return put(json, escape, sizeof escape);
}

/* Write one character that needs an escape, and move `*from` past the character. The UTF-8 is Python's own,
   so it is valid. */
static Status put_escaped(Json *json, const unsigned char **from)
{
    unsigned c = *(*from)++;
    switch (c) {
    case '"': return put(json, "\\\"", 2);
    case '\\': return put(json, "\\\\", 2);
    case '\b': return put(json, "\\b", 2);
    case '\f': return put(json, "\\f", 2);
    case '\n': return put(json, "\\n", 2);
    case '\r': return put(json, "\\r", 2);
    case '\t': return put(json, "\\t", 2);
    }
    if (c < 0x80) return put_unit(json, c);
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    c &= 0x3fu >> more;
    for (; more > 0; more--) c = c << 6 | (*(*from)++ & 0x3fu);
    if (c < 0x10000) return put_unit(json, c);
    c -= 0x10000;
    TRY(put_unit(json, 0xd800 | c >> 10));
    return put_unit(json, 0xdc00 | (c & 0x3ff));
}

static inline int is_plain(unsigned char c, int escaped)
{
    return c >= 0x20 && c != '"' && c != '\\' && !(escaped && c >= 0x7f);
}

/* Whether eight bytes are all plain. Each byte's top bit marks a byte that is not. A carry between bytes may
   mark a plain byte, but never misses one that is not plain. */
static inline int all_plain(const unsigned char *at, int escaped)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones << 7;
    uint64_t eight;
    memcpy(&eight, at, sizeof eight);
    uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';
    uint64_t found = (eight - ones * 0x20) | (quote - ones) | (backslash - ones);
    if (!escaped) return !(found & ~eight & tops);
    /* DEL plus one has the top bit set, as has every byte beyond ASCII. */
    return !(((found & ~eight) | eight | ((eight & ~tops) + ones)) & tops);
}

static Status put_text(Json *json, PyObject *text)
{
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &length);
    if (utf8 == NULL) {
        /* A lone surrogate, which `reference_json` escapes. Creating this exception may run the garbage
           collector in Python 3.11, and a finalizer may change the result: stop reading the result. */
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return FAILED;
        PyErr_Clear();
        return UNSUPPORTED;
    }
    const unsigned char *at = (const unsigned char *)utf8, *end = at + length;
    TRY(put(json, "\"", 1));
    while (at < end) {
        TRY(reserve(json, end - at));
        char *to = json->at + json->used;
        for (; end - at >= 8 && all_plain(at, json->escaped); at += 8, to += 8)
            memcpy(to, at, 8);
        while (at < end && is_plain(*at, json->escaped)) *to++ = (char)*at++;
        json->used = to - json->at;
        while (at < end && !is_plain(*at, json->escaped)) TRY(put_escaped(json, &at));
    }
    return put(json, "\"", 1);
}

static Status put_int(Json *json, PyObject *number)
{
    int beyond;
    long long value = PyLong_AsLongLongAndOverflow(number, &beyond);
    if (beyond) return UNSUPPORTED;
    char digits[20], *end = digits + sizeof digits, *at = end;
    unsigned long long rest = value < 0 ? 0ULL - (unsigned long long)value : (unsigned long long)value;
    do *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0) *--at = '-';
    return put(json, at, end - at);
}

static Status put_float(Json *json, PyObject *number)
{
    double value = PyFloat_AsDouble(number);
    if (!isfinite(value)) return UNSUPPORTED;
    char *digits = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (digits == NULL) return FAILED;
    Status status = put(json, digits, (Py_ssize_t)strlen(digits));
    PyMem_Free(digits);
    return status;
}

static Status put_value(Json *json, PyObject *value, int depth);

static Status put_dict(Json *json, PyObject *dict, int depth)
{
    Py_ssize_t next = 0;
    PyObject *key, *value;
    int first = 1;
    TRY(put(json, "{", 1));
    while (PyDict_Next(dict, &next, &key, &value)) {
        if (Py_TYPE(key) != &PyUnicode_Type) return UNSUPPORTED;
        if (!first) TRY(put(json, ", ", 2));
        first = 0;
        TRY(put_text(json, key));
        TRY(put(json, ": ", 2));
        TRY(put_value(json, value, depth));
    }
    return put(json, "}", 1);
}

static Status put_array(Json *json, PyObject *array, int depth)
{
    int is_list = Py_TYPE(array) == &PyList_Type;
    Py_ssize_t length = is_list ? PyList_Size(array) : PyTuple_Size(array);
    TRY(put(json, "[", 1));
    for (Py_ssize_t index = 0; index < length; index++) {
        if (index > 0) TRY(put(json, ", ", 2));
        TRY(put_value(json, is_list ? PyList_GetItem(array, index) : PyTuple_GetItem(array, index), depth));
    }
    return put(json, "]", 1);
}

static Status put_value(Json *json, PyObject *value, int depth)
{
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyUnicode_Type) return put_text(json, value);
    if (value == Py_None) return put(json, "null", 4);
    if (value == Py_True) return put(json, "true", 4);
    if (value == Py_False) return put(json, "false", 5);
    if (type == &PyLong_Type) return put_int(json, value);
    if (type == &PyFloat_Type) return put_float(json, value);
    if (depth == DEEPEST) return UNSUPPORTED;
    /* Without this check a circular value would be written DEEPEST times. */
    for (int outer = 0; outer < depth; outer++)
        if (json->open[outer] == value) return UNSUPPORTED;
    json->open[depth] = value;
    if (type == &PyDict_Type) return put_dict(json, value, depth + 1);
    if (type == &PyList_Type || type == &PyTuple_Type) return put_array(json, value, depth + 1);
    return UNSUPPORTED;
}

static PyObject *encode(PyObject *value, int escaped)
{
    Json json;
    json.at = json.small;
    json.used = 0;
    json.capacity = SMALL;
    json.escaped = escaped;
    PyObject *made = NULL;
    Status status = put_value(&json, value, 0);
    if (status == WRITTEN) made = PyBytes_FromStringAndSize(json.at, json.used);
    if (json.at != json.small) PyMem_Free(json.at);
    if (status != UNSUPPORTED) return made;
    /* Not Py_RETURN_NONE: the macro of 3.12, and of 3.13 up to 3.13.4, adds no reference, and in 3.11 each
       call would then lose one reference to None (CPython gh-134989). */
    Py_IncRef(Py_None);
    return Py_None;
}

static PyObject *encode_escaped(PyObject *Py_UNUSED(module), PyObject *value) { return encode(value, 1); }

static PyObject *encode_unescaped(PyObject *Py_UNUSED(module), PyObject *value) { return encode(value, 0); }

/* -- end a process that C code blocks (`deadlines.kill_timer`)

   The kernel's timer signals one thread. The signal handler needs no interpreter. The handler reads `ends_at`
   and ends the process, sets the timer again, or does nothing. An event that begins or ends therefore costs
   no system call, except about one per time-out's length. A timer that is overdue when a frozen sandbox thaws
   finds nothing to end. */

#if defined(__linux__) && defined(__LP64__)
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* In nanoseconds. LEAST: the earliest end after a call of `set_kill_timer`. AGAIN: the timer's interval, if the process
   has not ended. LATE: a signal later than this means that the process was stopped or had no core. */
enum { SECOND = 1000000000, LEAST = SECOND / 10, AGAIN = SECOND / 40, LATE = SECOND / 20 };
#define NEVER INT64_MAX

static int timer, fatal;
/* By the monotonic clock: when the process ends (written by `set_kill_timer` and `clear_kill_timer` only), the
   earliest end (written by the signalled thread only), and the time that the kernel's timer is set to. */
static _Atomic int64_t ends_at = NEVER, not_before = 0, rings_at = NEVER;

static int64_t monotonic(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

static void ring_at(int64_t at)
{
    /* struct itimerspec: the interval, then the first time; zeros disarm the timer. */
    int64_t times[4] = {0, AGAIN, at / SECOND, at % SECOND};
    if (at == NEVER) times[2] = times[3] = 0;
    atomic_store(&rings_at, at);
    syscall(SYS_timer_settime, timer, TIMER_ABSTIME, times, NULL);
}

static int64_t when(int64_t ends)
{
    int64_t soonest = atomic_load(&not_before);
    return ends < soonest ? soonest : ends;
}

static void rung(int number)
{
    /* The `ends_at` whose first signal came late: the process gets LEAST more time, once. */
    static int64_t spared = NEVER;
    int64_t ends = atomic_load(&ends_at), now = monotonic(), at;
    int before = errno;
    (void)number;
    if (when(ends) <= now) {
        int late = now - when(ends) > LATE && ends != spared;
        spared = ends;
        if (late)
            atomic_store(&not_before, now + LEAST);
        else
            raise(fatal);
    }
    /* Another thread may set or clear the timer at any step of this loop. Repeat until the kernel's timer agrees
       with the latest values. */
    do {
        at = when(atomic_load(&ends_at));
        ring_at(at);
    } while (at != when(atomic_load(&ends_at)) || at != atomic_load(&rings_at));
    errno = before;
}

/* Create a timer that signals a thread; store its number. */
static int signal_thread(int number, int thread, int *created)
{
    /* struct sigevent: eight bytes of value, the signal, SIGEV_THREAD_ID, the thread. Called by syscall because
       older C libraries have timer_create in librt. */
    int event[16] = {0, 0, number, 4, thread};
    return (int)syscall(SYS_timer_create, CLOCK_MONOTONIC, event, created);
}

static PyObject *create_kill_timer(PyObject *module, PyObject *args)
{
    int number, thread;
    struct sigaction action = {.sa_handler = rung, .sa_flags = SA_NODEFER | SA_RESTART | SA_ONSTACK};
    (void)module;
    if (!PyArg_ParseTuple(args, "iii", &number, &fatal, &thread)) return NULL;
    if (sigaction(number, &action, NULL) < 0 || signal_thread(number, thread, &timer) < 0) Py_RETURN_FALSE;
    atomic_store(&ends_at, NEVER);
    atomic_store(&rings_at, NEVER);
    Py_RETURN_TRUE;
}

static PyObject *set_kill_timer(PyObject *module, PyObject *value)
{
    double seconds = PyFloat_AsDouble(value);
    (void)module;
    if (seconds == -1.0 && PyErr_Occurred()) return NULL;
    /* No deadline is infinity or NaN. */
    if (seconds < 1e9) {
        int64_t at = (int64_t)(seconds * SECOND), soonest = monotonic() + LEAST;
        if (at < soonest) at = soonest;
        atomic_store(&ends_at, at);
        if (at < atomic_load(&rings_at)) ring_at(at);
    }
    Py_RETURN_NONE;
}

static PyObject *clear_kill_timer(PyObject *module, PyObject *args)
{
    (void)module, (void)args;
    atomic_store(&ends_at, NEVER);
    Py_RETURN_NONE;
}

static PyObject *postpone_kill_timer(PyObject *module, PyObject *value)
{
    double seconds = PyFloat_AsDouble(value);
    (void)module;
    if (seconds == -1.0 && PyErr_Occurred()) return NULL;
    atomic_store(&not_before, (int64_t)(seconds * SECOND));
    Py_RETURN_NONE;
}

/* -- other timers (`system.signal_timer`, `system.timerfd`). No call blocks, so each keeps the interpreter: beside a
   busy thread, getting it back could take milliseconds. */

static PyObject *create_timer(PyObject *module, PyObject *args)
{
    int number, thread, created;
    (void)module;
    if (!PyArg_ParseTuple(args, "ii", &number, &thread)) return NULL;
    return PyLong_FromLong(signal_thread(number, thread, &created) < 0 ? -1 : created);
}

/* Set a timer by a system call with the arguments of timer_settime(2) and timerfd_settime(2). A forked child has no
   timer: that is no error. */
static PyObject *set(long call, PyObject *args)
{
    int number;
    double seconds, every = 0;
    if (!PyArg_ParseTuple(args, "id|d", &number, &seconds, &every)) return NULL;
    int64_t first = (int64_t)(seconds * SECOND), next = (int64_t)(every * SECOND);
    int64_t times[4] = {next / SECOND, next % SECOND, first / SECOND, first % SECOND};
    int done = syscall(call, number, 0, times, NULL) == 0;
    if (!done && call == SYS_timerfd_settime) return PyErr_SetFromErrno(PyExc_OSError);
    return PyBool_FromLong(done);
}

static PyObject *set_timer(PyObject *module, PyObject *args)
{
    (void)module;
    return set(SYS_timer_settime, args);
}

static PyObject *create_timerfd(PyObject *module, PyObject *args)
{
    (void)module, (void)args;
    /* TFD_NONBLOCK and TFD_CLOEXEC have these values. */
    long created = syscall(SYS_timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK | O_CLOEXEC);
    return created < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(created);
}

static PyObject *set_timerfd(PyObject *module, PyObject *args)
{
    (void)module;
    return set(SYS_timerfd_settime, args);
}

static PyObject *name_thread(PyObject *module, PyObject *args)
{
    unsigned long thread;
    const char *name;
    (void)module;
    if (!PyArg_ParseTuple(args, "ky", &thread, &name)) return NULL;
    return PyLong_FromLong(pthread_setname_np((pthread_t)thread, name));
}
#else
static PyObject *create_kill_timer(PyObject *module, PyObject *args)
{
    (void)module, (void)args;
    Py_RETURN_FALSE;
}

static PyObject *set_kill_timer(PyObject *module, PyObject *value)
{
    (void)module, (void)value;
    Py_RETURN_NONE;
}

static PyObject *clear_kill_timer(PyObject *module, PyObject *args)
{
    (void)module, (void)args;
    Py_RETURN_NONE;
}

static PyObject *postpone_kill_timer(PyObject *module, PyObject *value)
{
    (void)module, (void)value;
    Py_RETURN_NONE;
}
#endif

/* -- calls of the system */

/* `system.scheduling`: prctl(2), PR_SET_TIMERSLACK. */
static PyObject *set_timer_slack(PyObject *module, PyObject *value)
{
    (void)module;
    unsigned long nanoseconds = PyLong_AsUnsignedLong(value);
    if (PyErr_Occurred()) return NULL;
#if defined(__linux__)
    return PyBool_FromLong(prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0) == 0);
#else
    (void)nanoseconds;
    Py_RETURN_FALSE;
#endif
}

/* `logs.xray_variable`: putenv(3) lets the environment point at this memory, which is written anew for each
   event. */
static char entry[1024];

static PyObject *export_entry(PyObject *module, PyObject *args)
{
    PyObject *bytes;
    char *text;
    Py_ssize_t length;
    int is_new;
    (void)module;
    if (!PyArg_ParseTuple(args, "Sp", &bytes, &is_new)) return NULL;
    if (PyBytes_AsStringAndSize(bytes, &text, &length) < 0) return NULL;
    if (length >= (Py_ssize_t)sizeof entry) {
        PyErr_SetString(PyExc_ValueError, "the entry has over 1023 bytes");
        return NULL;
    }
    memcpy(entry, text, (size_t)length);
    entry[length] = 0;
    if (is_new && putenv(entry) != 0) return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"encode_escaped", encode_escaped, METH_O,
     "Encode a value as JSON, beyond ASCII as \\u and four digits; None if a value is not supported."},
    {"encode_unescaped", encode_unescaped, METH_O,
     "Encode a value as JSON in UTF-8; None if a value is not supported."},
    {"create_kill_timer", create_kill_timer, METH_VARARGS,
     "Create the timer that ends the process by a signal; False if the system has none."},
    {"set_kill_timer", set_kill_timer, METH_O,
     "End the process at this time of the monotonic clock; replaces an earlier time."},
    {"clear_kill_timer", clear_kill_timer, METH_NOARGS, "Cancel the end of the process."},
    {"postpone_kill_timer", postpone_kill_timer, METH_O,
     "Do not end the process before this time of the monotonic clock."},
    {"set_timer_slack", set_timer_slack, METH_O,
     "Set this thread's timer slack in nanoseconds; False if the system has none."},
    {"export_entry", export_entry, METH_VARARGS, "Write the entry of the environment that okibi owns."},
#if defined(__linux__) && defined(__LP64__)
    {"create_timer", create_timer, METH_VARARGS, "Create a timer that signals a thread; -1 if the system has none."},
    {"set_timer", set_timer, METH_VARARGS, "Set such a timer, or cancel it with 0."},
    {"create_timerfd", create_timerfd, METH_NOARGS, "Create a timerfd."},
    {"set_timerfd", set_timerfd, METH_VARARGS, "Let a timerfd expire once."},
    {"name_thread", name_thread, METH_VARARGS, "Give a thread a name in the system."},
#endif
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "native",
    .m_doc = "What okibi does in C: JSON, the timer that ends the process, calls of the system. Optional.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_native(void) { return PyModuleDef_Init(&definition); }
