/* A result into JSON as AWS's own client writes it: the standard library's spaces, floats and order.

   Only what this knows by heart is said here: exactly str, int of 64 bits, finite float, bool, None,
   list, tuple and dict with keys of exactly str, DEEPEST levels of it. Anything else it leaves to
   `codec.json`, which can do without it and has all the rules. So nothing that runs here can run Python
   code, but for what ends it at once (`put_text`): no reference has to be kept, and nothing changes
   meanwhile.

   It is for speed alone (benchmarks/README.md, "JSON"): the standard library's encoder makes a new text
   of each key and value, and what refuses subclasses has to look through the whole result before it.
   No library writes these bytes sooner. Of Python's stable ABI, so that one file serves 3.11 and later;
   so a text that is not ASCII keeps its UTF-8, as msgspec makes it do. */

#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { DEEPEST = 100, SMALL = 4096 };

/* What becomes of a value: with FAILED there is an exception, as the memory's end is one. */
typedef enum { SAID, LEFT, FAILED } Fate;

#define SAY(what)                                                                                        \
    do {                                                                                                 \
        Fate fate_ = (what);                                                                             \
        if (fate_ != SAID) return fate_;                                                                 \
    } while (0)

/* JSON as it grows: on the stack as long as it is small, as most of it is ever. */
typedef struct {
    char *at;
    Py_ssize_t used, room;
    int escaped; /* what is beyond ASCII, and DEL, as the standard library has it */
    PyObject *open[DEEPEST]; /* what is being written, from the outermost */
    char small[SMALL];
} Json;

static Fate make_room(Json *json, Py_ssize_t more)
{
    if (more <= json->room - json->used) return SAID;
    if (more > PY_SSIZE_T_MAX / 2 - json->used) {
        PyErr_NoMemory();
        return FAILED;
    }
    Py_ssize_t room = 2 * (json->used + more);
    char *at = PyMem_Realloc(json->at == json->small ? NULL : json->at, (size_t)room);
    if (at == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    if (json->at == json->small) memcpy(at, json->small, (size_t)json->used);
    json->at = at;
    json->room = room;
    return SAID;
}

static inline Fate put(Json *json, const char *piece, Py_ssize_t length)
{
    SAY(make_room(json, length));
    memcpy(json->at + json->used, piece, (size_t)length);
    json->used += length;
    return SAID;
}

static Fate put_unit(Json *json, unsigned unit)
{
    static const char hex[] = "0123456789abcdef";
    const char said[] = {
        '\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
    return put(json, said, sizeof said);
}

/* One character that does not stand for itself, of UTF-8 that Python has made; `*from` is behind it then. */
static Fate put_escaped(Json *json, const unsigned char **from)
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
    SAY(put_unit(json, 0xd800 | c >> 10));
    return put_unit(json, 0xdc00 | (c & 0x3ff));
}

static inline int stands_for_itself(unsigned char c, int escaped)
{
    return c >= 0x20 && c != '"' && c != '\\' && !(escaped && c >= 0x7f);
}

/* Whether eight bytes all do, with their top bits as signs: a bit of carry may find one too many, never
   one too few. */
static inline int all_stand_for_themselves(const unsigned char *at, int escaped)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones << 7;
    uint64_t eight;
    memcpy(&eight, at, sizeof eight);
    uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';
    uint64_t found = (eight - ones * 0x20) | (quote - ones) | (backslash - ones);
    if (!escaped) return !(found & ~eight & tops);
    /* One more than 0x7e has its top bit, and so has what is beyond ASCII. */
    return !(((found & ~eight) | eight | ((eight & ~tops) + ones)) & tops);
}

static Fate put_text(Json *json, PyObject *text)
{
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &length);
    if (utf8 == NULL) {
        /* A lone surrogate, which is escaped elsewhere. To make this exception Python 3.11 may collect
           garbage, and a finalizer may change the result: nothing of it is looked at behind this. */
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return FAILED;
        PyErr_Clear();
        return LEFT;
    }
    const unsigned char *at = (const unsigned char *)utf8, *end = at + length;
    SAY(put(json, "\"", 1));
    while (at < end) {
        SAY(make_room(json, end - at));
        char *to = json->at + json->used;
        for (; end - at >= 8 && all_stand_for_themselves(at, json->escaped); at += 8, to += 8)
            memcpy(to, at, 8);
        while (at < end && stands_for_itself(*at, json->escaped)) *to++ = (char)*at++;
        json->used = to - json->at;
        while (at < end && !stands_for_itself(*at, json->escaped)) SAY(put_escaped(json, &at));
    }
    return put(json, "\"", 1);
}

static Fate put_int(Json *json, PyObject *number)
{
    int beyond;
    long long value = PyLong_AsLongLongAndOverflow(number, &beyond);
    if (beyond) return LEFT;
    char digits[20], *end = digits + sizeof digits, *at = end;
    unsigned long long rest = value < 0 ? 0ULL - (unsigned long long)value : (unsigned long long)value;
    do *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0) *--at = '-';
    return put(json, at, end - at);
}

static Fate put_float(Json *json, PyObject *number)
{
    double value = PyFloat_AsDouble(number);
    if (!isfinite(value)) return LEFT;
    char *said = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (said == NULL) return FAILED;
    Fate fate = put(json, said, (Py_ssize_t)strlen(said));
    PyMem_Free(said);
    return fate;
}

static Fate put_value(Json *json, PyObject *value, int depth);

static Fate put_dict(Json *json, PyObject *dict, int depth)
{
    Py_ssize_t next = 0;
    PyObject *key, *value;
    int first = 1;
    SAY(put(json, "{", 1));
    while (PyDict_Next(dict, &next, &key, &value)) {
        if (Py_TYPE(key) != &PyUnicode_Type) return LEFT;
        if (!first) SAY(put(json, ", ", 2));
        first = 0;
        SAY(put_text(json, key));
        SAY(put(json, ": ", 2));
        SAY(put_value(json, value, depth));
    }
    return put(json, "}", 1);
}

static Fate put_array(Json *json, PyObject *array, int depth)
{
    int is_list = Py_TYPE(array) == &PyList_Type;
    Py_ssize_t length = is_list ? PyList_Size(array) : PyTuple_Size(array);
    SAY(put(json, "[", 1));
    for (Py_ssize_t index = 0; index < length; index++) {
        if (index > 0) SAY(put(json, ", ", 2));
        SAY(put_value(json, is_list ? PyList_GetItem(array, index) : PyTuple_GetItem(array, index), depth));
    }
    return put(json, "]", 1);
}

static Fate put_value(Json *json, PyObject *value, int depth)
{
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyUnicode_Type) return put_text(json, value);
    if (value == Py_None) return put(json, "null", 4);
    if (value == Py_True) return put(json, "true", 4);
    if (value == Py_False) return put(json, "false", 5);
    if (type == &PyLong_Type) return put_int(json, value);
    if (type == &PyFloat_Type) return put_float(json, value);
    if (depth == DEEPEST) return LEFT;
    /* What holds itself would be written DEEPEST times before it was left. */
    for (int outer = 0; outer < depth; outer++)
        if (json->open[outer] == value) return LEFT;
    json->open[depth] = value;
    if (type == &PyDict_Type) return put_dict(json, value, depth + 1);
    if (type == &PyList_Type || type == &PyTuple_Type) return put_array(json, value, depth + 1);
    return LEFT;
}

static PyObject *encode(PyObject *value, int escaped)
{
    Json json;
    json.at = json.small;
    json.used = 0;
    json.room = SMALL;
    json.escaped = escaped;
    PyObject *made = NULL;
    Fate fate = put_value(&json, value, 0);
    if (fate == SAID) made = PyBytes_FromStringAndSize(json.at, json.used);
    if (json.at != json.small) PyMem_Free(json.at);
    if (fate != LEFT) return made;
    /* By a function of the Python that runs this: for the macro, headers of 3.12 and of 3.13 up to 3.13.4
       count no reference, which in 3.11 is one too few of each None (CPython gh-134989). */
    Py_IncRef(Py_None);
    return Py_None;
}

static PyObject *encode_escaped(PyObject *Py_UNUSED(module), PyObject *value) { return encode(value, 1); }

static PyObject *encode_unescaped(PyObject *Py_UNUSED(module), PyObject *value) { return encode(value, 0); }

/* -- the end of a process that C code holds (`deadlines.kill_timer`)

   The kernel's timer rings on one thread. What is done then needs no interpreter: it looks at `ends_at`,
   and ends the process, or sets the timer anew, or lets it rest. So an event that comes, or is answered, costs
   no call into the kernel, but for one in the length of a time-out; and a timer that is overdue when a frozen
   sandbox thaws finds that nothing is to end. */

#if defined(__linux__) && defined(__LP64__)
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* In nanoseconds: how soon the process may end at the soonest, after how long the timer rings again, where
   who was to end it has not, and how late a signal comes to a process that was stopped or had no core. */
enum { SECOND = 1000000000, LEAST = SECOND / 10, AGAIN = SECOND / 40, LATE = SECOND / 20 };
#define NEVER INT64_MAX

static int timer, fatal;
/* When the process is to end, which only `hold` and `let_go` change; when it may end at the soonest, which only
   one other thread changes; and for when the kernel's timer is set. By the monotonic clock. */
static _Atomic int64_t ends_at = NEVER, not_before = 0, rings_at = NEVER;

static int64_t monotonic(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

static void ring_at(int64_t at)
{
    /* struct itimerspec: the interval, and the first time; none at all for never. */
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
    /* The `ends_at` of which this has come once, and was too late to hold it against the process. */
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
    /* Another thread may hold it anew meanwhile; and let it go again, when this has undone its call into the
       kernel and its note still stands. */
    do {
        at = when(atomic_load(&ends_at));
        ring_at(at);
    } while (at != when(atomic_load(&ends_at)) || at != atomic_load(&rings_at));
    errno = before;
}

static PyObject *guard(PyObject *module, PyObject *args)
{
    int number, thread;
    struct sigaction action = {.sa_handler = rung, .sa_flags = SA_NODEFER | SA_RESTART | SA_ONSTACK};
    /* struct sigevent: a value of eight bytes, the signal, "to the thread", which one. (The C library's own
       calls would be of librt in older ones.) */
    int event[16] = {0, 0, 0, 4, 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "iii", &number, &fatal, &thread)) return NULL;
    event[2] = number;
    event[4] = thread;
    if (sigaction(number, &action, NULL) < 0 ||
        syscall(SYS_timer_create, CLOCK_MONOTONIC, event, &timer) < 0)
        Py_RETURN_FALSE;
    atomic_store(&ends_at, NEVER);
    atomic_store(&rings_at, NEVER);
    Py_RETURN_TRUE;
}

static PyObject *hold(PyObject *module, PyObject *value)
{
    double seconds = PyFloat_AsDouble(value);
    (void)module;
    if (seconds == -1.0 && PyErr_Occurred()) return NULL;
    /* Without a deadline it is none, or no number. */
    if (seconds < 1e9) {
        int64_t at = (int64_t)(seconds * SECOND), soonest = monotonic() + LEAST;
        if (at < soonest) at = soonest;
        atomic_store(&ends_at, at);
        if (at < atomic_load(&rings_at)) ring_at(at);
    }
    Py_RETURN_NONE;
}

static PyObject *let_go(PyObject *module, PyObject *args)
{
    (void)module, (void)args;
    atomic_store(&ends_at, NEVER);
    Py_RETURN_NONE;
}

static PyObject *put_off(PyObject *module, PyObject *value)
{
    double seconds = PyFloat_AsDouble(value);
    (void)module;
    if (seconds == -1.0 && PyErr_Occurred()) return NULL;
    atomic_store(&not_before, (int64_t)(seconds * SECOND));
    Py_RETURN_NONE;
}
#else
static PyObject *guard(PyObject *module, PyObject *args)
{
    (void)module, (void)args;
    Py_RETURN_FALSE;
}

static PyObject *hold(PyObject *module, PyObject *value)
{
    (void)module, (void)value;
    Py_RETURN_NONE;
}

static PyObject *let_go(PyObject *module, PyObject *args)
{
    (void)module, (void)args;
    Py_RETURN_NONE;
}

static PyObject *put_off(PyObject *module, PyObject *value)
{
    (void)module, (void)value;
    Py_RETURN_NONE;
}
#endif

static PyMethodDef functions[] = {
    {"encode_escaped", encode_escaped, METH_O,
     "A value as JSON, what is beyond ASCII as \\u and four digits; None for what this leaves to others."},
    {"encode_unescaped", encode_unescaped, METH_O, "The same in UTF-8."},
    {"guard", guard, METH_VARARGS, "Make the timer that ends the process by a signal; False if there is none."},
    {"hold", hold, METH_O, "End the process at this time of the monotonic clock, and at no other."},
    {"let_go", let_go, METH_NOARGS, "Do not end the process."},
    {"put_off", put_off, METH_O, "End the process at this time of the monotonic clock at the soonest."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "encoder",
    .m_doc = "Results into JSON by the official client's rules, compiled; `codec.json` does without it.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_encoder(void) { return PyModuleDef_Init(&definition); }
