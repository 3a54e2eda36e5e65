/* JSON, as far as jobs and results need it. */
#include "runner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_blank(const char *at) {
    return at + strspn(at, " \t\r\n");
}

static const char *skip_value(const char *at);

static _Noreturn void broken(void) {
    fail("job", "the job is not JSON");
}

static const char *skip_string(const char *at) {
    if (*at != '"') broken();
    for (at++; *at != '"'; at++) {
        if (*at == '\\') at++;
        if (*at == '\0') broken();
    }
    return at + 1;
}

/* Past an object or array; `at` is behind its first bracket. */
static const char *skip_list(const char *at, char end) {
    at = skip_blank(at);
    if (*at == end) return at + 1;
    for (;;) {
        if (end == '}') {
            at = skip_blank(skip_string(skip_blank(at)));
            if (*at++ != ':') broken();
        }
        at = skip_blank(skip_value(at));
        if (*at == end) return at + 1;
        if (*at++ != ',') broken();
    }
}

static const char *skip_value(const char *at) {
    at = skip_blank(at);
    if (*at == '{') return skip_list(at + 1, '}');
    if (*at == '[') return skip_list(at + 1, ']');
    if (*at == '"') return skip_string(at);
    size_t word = strspn(at, "+-.0123456789abcdefghijklmnopqrstuvwxyzINE");
    if (word == 0) broken();
    return at + word;
}

static bool is_key(const char *string, const char *key) {
    char *name = json_string(string);
    bool same = strcmp(name, key) == 0;
    free(name);
    return same;
}

const char *json_member(const char *object, const char *key) {
    const char *at = skip_blank(object);
    if (*at != '{') broken();
    const char *found = NULL, *end = skip_value(at);
    for (at = skip_blank(at + 1); *at == '"' || *at == ',';) {
        if (*at == ',') at = skip_blank(at + 1);
        const char *value = skip_blank(skip_blank(skip_string(at)) + 1);
        if (is_key(at, key)) found = value;
        at = skip_blank(skip_value(value));
    }
    if (*skip_blank(end) != '\0') broken();
    return found;
}

/* Write a code point as UTF-8; return behind it. */
static char *put_utf8(char *to, unsigned long code) {
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    *to++ = (char)((0xF0 << (3 - more) & 0xFF) | code >> 6 * more);
    while (more-- > 0) *to++ = (char)(0x80 | (code >> 6 * more & 0x3F));
    return to;
}

static unsigned long hex4(const char *at) {
    char digits[5] = {0};
    memcpy(digits, at, strnlen(at, 4));
    char *end;
    unsigned long code = strtoul(digits, &end, 16);
    if (end != digits + 4) broken();
    return code;
}

/* Copy what an escape stands for; `from` is at its letter. Return its last character. */
static const char *unescape(const char *from, char **to) {
    static const char letters[] = "bfnrt\"\\/", stand_for[] = "\b\f\n\r\t\"\\/";
    const char *letter = strchr(letters, *from);
    if (letter != NULL && *from != '\0') {
        *(*to)++ = stand_for[letter - letters];
        return from;
    }
    if (*from != 'u') broken();
    unsigned long code = hex4(from + 1);
    from += 4;
    if (code >= 0xD800 && code < 0xDC00 && from[1] == '\\' && from[2] == 'u') {
        code = 0x10000 + ((code - 0xD800) << 10) + (hex4(from + 3) - 0xDC00);
        from += 6;
    }
    *to = put_utf8(*to, code);
    return from;
}

char *json_string(const char *value) {
    if (value == NULL || *value != '"') return NULL;
    char *string = allocate(strlen(value)), *to = string;
    for (const char *from = value + 1; *from != '"'; from++) {
        if (*from == '\\')
            from = unescape(from + 1, &to);
        else
            *to++ = *from;
    }
    *to = '\0';
    return string;
}

size_t json_array(const char *value, const char **items, size_t most) {
    if (value == NULL || *value != '[') return 0;
    size_t count = 0;
    for (const char *at = skip_blank(value + 1); *at != ']';) {
        if (count == most) fail("job", "the job has a list of over %zu", most);
        items[count++] = at;
        at = skip_blank(skip_value(at));
        if (*at == ',') at = skip_blank(at + 1);
    }
    return count;
}

double json_number(const char *object, const char *key, double least) {
    const char *value = json_member(object, key);
    char *end;
    double found = value == NULL ? least : strtod(value, &end);
    if (value != NULL && (end == value || !(found >= least)))
        fail("job", "the job's %s is no number from %g", key, least);
    return found;
}

bool json_true(const char *value) {
    return value != NULL && strncmp(value, "true", 4) == 0;
}

bool json_null(const char *value) {
    return value == NULL || strncmp(value, "null", 4) == 0;
}

char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct text text = {0};
    char block[4096];
    size_t got;
    if (file == NULL) fail("job", "%s: %s", path, strerror(errno));
    while ((got = fread(block, 1, sizeof block, file)) > 0) append(&text, "%.*s", (int)got, block);
    fclose(file);
    if (text.bytes == NULL) fail("job", "%s is empty", path);
    return text.bytes;
}

void append(struct text *text, const char *format, ...) {
    va_list words;
    va_start(words, format);
    int length = vsnprintf(NULL, 0, format, words);
    va_end(words);
    if (text->length + (size_t)length >= text->room) {
        text->room = 2 * (text->length + (size_t)length) + 256;
        text->bytes = realloc(text->bytes, text->room);
        if (text->bytes == NULL) abort();
    }
    va_start(words, format);
    vsnprintf(text->bytes + text->length, text->room - text->length, format, words);
    va_end(words);
    text->length += (size_t)length;
}

void append_string(struct text *text, const char *key, const char *value) {
    append(text, ", \"%s\": \"", key);
    for (const char *at = value; *at != '\0'; at++) {
        unsigned char letter = (unsigned char)*at;
        if (letter == '"' || letter == '\\')
            append(text, "\\%c", letter);
        else
            append(text, letter < 0x20 ? "\\u%04x" : "%c", letter);
    }
    append(text, "\"");
}
