/* numpy's files: .npy of inputs, .npz of results.

   Formats: numpy's `numpy.lib.format`, and the APPNOTE of the zip format, of which a result uses stored
   entries. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ONNX's TensorProto numbers, and those of TFLite. */
static const struct dtype DTYPES[] = {
    {"<f4", "float32", 4, 1, 1},   {"|u1", "uint8", 1, 2, 3},    {"|i1", "int8", 1, 3, 9},
    {"<u2", "uint16", 2, 4, 17},   {"<i2", "int16", 2, 5, 7},    {"<i4", "int32", 4, 6, 2},
    {"<i8", "int64", 8, 7, 4},     {"|b1", "bool", 1, 9, 6},     {"<f2", "float16", 2, 10, 10},
    {"<f8", "float64", 8, 11, 11}, {"<u4", "uint32", 4, 12, 16}, {"<u8", "uint64", 8, 13, 13},
};
enum { DTYPE_COUNT = sizeof DTYPES / sizeof *DTYPES };

const struct dtype *dtype_of(const char *descr) {
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (strcmp(DTYPES[i].descr, descr) == 0) return &DTYPES[i];
    return NULL;
}

const struct dtype *dtype_of_onnxruntime(int type) {
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (DTYPES[i].onnxruntime == type) return &DTYPES[i];
    return NULL;
}

const struct dtype *dtype_of_litert(int type) {
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (DTYPES[i].litert == type) return &DTYPES[i];
    return NULL;
}

size_t count_bytes(const struct tensor *tensor) {
    size_t bytes = tensor->dtype->bytes;
    for (int i = 0; i < tensor->rank; i++) bytes *= (size_t)tensor->dims[i];
    return bytes;
}

bool same_form(const struct tensor *one, const struct tensor *other) {
    return one->dtype == other->dtype && one->rank == other->rank &&
           memcmp(one->dims, other->dims, (size_t)one->rank * sizeof *one->dims) == 0;
}

/* `(3, 32)`, as Python writes tuples. */
static void append_shape(struct text *text, int64_t rows, const struct tensor *form) {
    int64_t dims[MAX_RANK + 1];
    int rank = 0;
    if (rows >= 0) dims[rank++] = rows;
    for (int i = 0; i < form->rank; i++) dims[rank++] = form->dims[i];
    append(text, "(");
    for (int i = 0; i < rank; i++) append(text, "%s%lld", i ? ", " : "", (long long)dims[i]);
    append(text, rank == 1 ? ",)" : ")");
}

const char *form_of(const struct tensor *tensor) {
    struct text text = {0};
    append(&text, "%s", tensor->dtype->name);
    append_shape(&text, -1, tensor);
    return text.bytes;
}

/* --- .npy ------------------------------------------------------------------------------------- */

static unsigned le(const unsigned char *at, int bytes) {
    unsigned value = 0;
    while (bytes-- > 0) value = value << 8 | at[bytes];
    return value;
}

static const char *entry(const char *header, const char *key) {
    const char *found = strstr(header, key);
    return found == NULL ? "" : found + strlen(key);
}

/* Read the header, a Python dictionary such as {'descr': '<f4', 'fortran_order': False, 'shape': (7, 1), }.
 */
static void parse_header(const char *path, const char *header, struct column *column) {
    char descr[8] = {0};
    sscanf(entry(header, "'descr':"), " '%7[^']'", descr);
    column->row.dtype = dtype_of(descr);
    if (column->row.dtype == NULL) fail("input", "%s: elements of type %s are not known here", path, descr);
    if (strncmp(entry(header, "'fortran_order':"), " False", 6) != 0)
        fail("input", "%s: its elements are not in C order", path);
    const char *at = entry(header, "'shape': (");
    int rank = 0, used = 0;
    long long size;
    while (sscanf(at, " %lld%n", &size, &used) == 1) {
        if (rank > MAX_RANK || size < 0) fail("input", "%s: a shape that is not known here", path);
        if (rank == 0)
            column->rows = (size_t)size;
        else
            column->row.dims[rank - 1] = size;
        rank++;
        at += used;
        at += strspn(at, ", ");
    }
    if (rank == 0 || *at != ')') fail("input", "%s: no shape of rows", path);
    column->row.rank = rank - 1;
    column->row.bytes = count_bytes(&column->row);
}

static const unsigned char *map_file(const char *path, size_t *size) {
    struct stat facts;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &facts) != 0) fail("storage", "%s: %s", path, strerror(errno));
    *size = (size_t)facts.st_size;
    void *data = *size == 0 ? MAP_FAILED : mmap(NULL, *size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (data == MAP_FAILED) fail("input", "%s: it cannot be read", path);
    return data;
}

void read_column(const char *path, struct column *column) {
    size_t size;
    const unsigned char *data = map_file(path, &size);
    if (size < 12 || memcmp(data, "\x93NUMPY", 6) != 0) fail("input", "%s is not a .npy file", path);
    size_t start = data[6] == 1 ? 10 : 12;
    size_t length = le(data + 8, (int)start - 8);
    if (start + length > size) fail("input", "%s is cut off", path);
    char *header = allocate(length + 1);
    memcpy(header, data + start, length);
    parse_header(path, header, column);
    free(header);
    if (column->row.bytes != 0 && column->rows > (size - start - length) / column->row.bytes)
        fail("input", "%s is cut off", path);
    column->data = data + start + length;
}

/* --- .npz ------------------------------------------------------------------------------------- */

/* An entry of the archive. */
struct part {
    char name[NAME_BYTES + 4], header[192];
    size_t header_size, size;
    const void *data;
    uint32_t crc, offset;
};

static uint32_t crc32_of(uint32_t crc, const void *data, size_t size) {
    static uint32_t table[256];
    for (uint32_t i = table[1] == 0 ? 1 : 256; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xEDB88320u : table[i] >> 1;
    }
    crc = ~crc;
    for (const unsigned char *at = data, *end = at + size; at < end; at++)
        crc = table[(crc ^ *at) & 0xFF] ^ crc >> 8;
    return ~crc;
}

static struct part as_part(const struct array *array) {
    struct part part = {.data = array->form.data};
    struct text text = {0};
    append(&text, "{'descr': '%s', 'fortran_order': False, 'shape': ", array->form.dtype->descr);
    append_shape(&text, array->rows, &array->form);
    append(&text, ", }");
    size_t filled = (text.length + 1 + 10 + 63) / 64 * 64;
    if (filled > sizeof part.header) fail("model", "an output has too many dimensions");
    snprintf(part.name, sizeof part.name, "%s.npy", array->name);
    memset(part.header, ' ', filled);
    memcpy(part.header, "\x93NUMPY\x01\x00", 8);
    part.header[8] = (char)((filled - 10) & 0xFF);
    part.header[9] = (char)((filled - 10) >> 8);
    memcpy(part.header + 10, text.bytes, text.length);
    part.header[filled - 1] = '\n';
    free(text.bytes);
    part.header_size = filled;
    part.size = count_bytes(&array->form) * (size_t)(array->rows < 0 ? 1 : array->rows);
    part.crc = crc32_of(crc32_of(0, part.header, filled), part.data, part.size);
    return part;
}

static void put(FILE *file, uint32_t value, int bytes) {
    for (; bytes > 0; bytes--, value >>= 8) fputc((int)(value & 0xFF), file);
}

/* What a local header and the directory say alike: from the version that is needed to the name's length. */
static void put_facts(FILE *file, const struct part *part) {
    uint32_t size = (uint32_t)(part->header_size + part->size);
    put(file, 20, 2);
    put(file, 0, 4);        /* flags; stored */
    put(file, 0x210000, 4); /* 1 January 1980: a result has no other date */
    put(file, part->crc, 4);
    put(file, size, 4);
    put(file, size, 4);
    put(file, (uint32_t)strlen(part->name), 2);
}

static void put_archive(FILE *file, struct part *parts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        parts[i].offset = (uint32_t)ftell(file);
        put(file, 0x04034B50, 4);
        put_facts(file, &parts[i]);
        put(file, 0, 2);
        fputs(parts[i].name, file);
        fwrite(parts[i].header, 1, parts[i].header_size, file);
        fwrite(parts[i].data, 1, parts[i].size, file);
    }
    uint32_t directory = (uint32_t)ftell(file);
    for (size_t i = 0; i < count; i++) {
        put(file, 0x02014B50, 4);
        put(file, 20, 2);
        put_facts(file, &parts[i]);
        for (int zero = 0; zero < 6; zero++) put(file, 0, 2); /* extra, comment, disk, attributes */
        put(file, parts[i].offset, 4);
        fputs(parts[i].name, file);
    }
    uint32_t size = (uint32_t)ftell(file) - directory;
    put(file, 0x06054B50, 4);
    put(file, 0, 4);
    put(file, (uint32_t)(count | count << 16), 4);
    put(file, size, 4);
    put(file, directory, 4);
    put(file, 0, 2);
}

int write_result(const char *path, const struct array *arrays, size_t count, const struct text *meta) {
    struct part parts[MAX_TENSORS + 3];
    size_t total = 1 << 16;
    for (size_t i = 0; i < count; i++) total += (parts[i] = as_part(&arrays[i])).size;
    struct array told = {.name = "meta",
                         .rows = (int64_t)meta->length,
                         .form = {.dtype = dtype_of("|u1"), .data = meta->bytes}};
    parts[count++] = as_part(&told);
    if (total > UINT32_MAX) return EFBIG;
    struct text temporary = {0};
    append(&temporary, "%s.%ld.part", path, (long)getpid());
    FILE *file = fopen(temporary.bytes, "wb");
    if (file == NULL) return errno;
    put_archive(file, parts, count);
    int failed = fflush(file) != 0 || ferror(file) || fsync(fileno(file)) != 0 ? (errno ? errno : EIO) : 0;
    if (fclose(file) != 0 && failed == 0) failed = errno;
    if (failed == 0 && rename(temporary.bytes, path) != 0) failed = errno;
    if (failed != 0) unlink(temporary.bytes);
    free(temporary.bytes);
    return failed;
}
