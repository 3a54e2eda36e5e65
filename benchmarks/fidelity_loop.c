/* A loop of calls in C, as short as it can be: fidelity.py holds edgebench's figures against it.

       fidelity_loop onnxruntime|litert LIBRARY MODEL ROWS THREADS WARMUP CALLS DIM…

   ROWS is a file of 16 inputs of DIM…, one after the other, that the calls go round; float32 for ONNX
   Runtime. The model has one input and one output. It prints the nanoseconds of every call. Nothing here is
   edgebench's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROW_COUNT = 16 };

static char *rows;
static size_t row_bytes, rank;
static int64_t dims[8];
static int64_t *timings;

static void need(bool there, const char *what) {
    if (there) return;
    fprintf(stderr, "fidelity_loop: %s\n", what);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void read_rows(const char *path) {
    FILE *file = fopen(path, "rb");
    need(file != NULL, "no rows");
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    row_bytes = size / ROW_COUNT;
    need(posix_memalign((void **)&rows, 64, size) == 0 && fread(rows, 1, size, file) == size, "no rows");
    fclose(file);
}

static void *row(size_t index) {
    return rows + index % ROW_COUNT * row_bytes;
}

/* ONNX Runtime: the table of functions of OrtGetApiBase, by place. */
static void loop_onnxruntime(void *library, const char *model, int threads, size_t calls) {
    struct {
        void **(*get)(uint32_t);
        const char *(*version)(void);
    } *base = ((void *(*)(void))dlsym(library, "OrtGetApiBase"))();
    void **api = base->get(1), *environment, *options, *session, *memory, *allocator, *output = NULL;
    char *takes, *gives;
#define ORT(place, ...) \
    need(((void *(*)())api[place])(__VA_ARGS__) == NULL, "ONNX Runtime: call " #place " failed")
    ORT(3, 3, "", &environment);
    ORT(10, &options);
    ORT(24, options, threads);
    ORT(25, options, 1);
    ORT(7, environment, model, options, &session);
    ORT(69, 1, 0, &memory);
    ORT(78, &allocator);
    ORT(36, session, (size_t)0, allocator, &takes);
    ORT(37, session, (size_t)0, allocator, &gives);
    void *inputs[ROW_COUNT];
    for (size_t i = 0; i < ROW_COUNT; i++) ORT(49, memory, row(i), row_bytes, dims, rank, 1, &inputs[i]);
    void *(*run)(void *, void *, char **, void **, size_t, char **, size_t, void **);
    void (*release)(void *);
    memcpy(&run, &api[9], sizeof run);
    memcpy(&release, &api[96], sizeof release);
    for (size_t i = 0; i < calls; i++) {
        int64_t start = now();
        void *failed = run(session, NULL, &takes, &inputs[i % ROW_COUNT], 1, &gives, 1, &output);
        release(output);
        output = NULL;
        timings[i] = now() - start;
        need(failed == NULL, "ONNX Runtime: Run failed");
    }
}

/* LiteRT: its functions by name. */
static void loop_litert(void *library, const char *model_path, int threads, size_t calls) {
    struct {
        int element;
        unsigned rank : 7, strided : 1;
        int32_t dims[8];
        uint32_t strides[8];
    } type;
    void *environment, *model, *options, *cpu, *compiled, *signature, *tensor, *needs, *input, *output,
        *memory;
    char *threads_line;
#define LITERT(name, ...) \
    need(((int (*)())dlsym(library, "LiteRt" #name))(__VA_ARGS__) == 0, "LiteRt" #name " failed")
    need(asprintf(&threads_line, "num_threads = %d\n", threads) > 0, "no memory");
    LITERT(CreateEnvironment, 0, NULL, &environment);
    LITERT(CreateModelFromFile, environment, model_path, &model);
    LITERT(CreateOptions, &options);
    LITERT(SetOptionsHardwareAccelerators, options, 1);
    LITERT(CreateOpaqueOptions, "xnnpack", threads_line, free, &cpu);
    LITERT(AddOpaqueOptions, options, cpu);
    LITERT(CreateCompiledModel, environment, model, options, &compiled);
    LITERT(GetModelSignature, model, (size_t)0, &signature);
    LITERT(GetSignatureInputTensorByIndex, signature, (size_t)0, &tensor);
    LITERT(GetRankedTensorType, tensor, &type);
    LITERT(GetCompiledModelInputBufferRequirements, compiled, (size_t)0, (size_t)0, &needs);
    LITERT(CreateManagedTensorBufferFromRequirements, environment, &type, needs, &input);
    LITERT(GetSignatureOutputTensorByIndex, signature, (size_t)0, &tensor);
    LITERT(GetRankedTensorType, tensor, &type);
    LITERT(GetCompiledModelOutputBufferRequirements, compiled, (size_t)0, (size_t)0, &needs);
    LITERT(CreateManagedTensorBufferFromRequirements, environment, &type, needs, &output);
    int (*run)(void *, size_t, size_t, void **, size_t, void **);
    void *symbol = dlsym(library, "LiteRtRunCompiledModel");
    memcpy(&run, &symbol, sizeof run);
    for (size_t i = 0; i < calls; i++) {
        LITERT(LockTensorBuffer, input, &memory, 1);
        memcpy(memory, row(i), row_bytes);
        LITERT(UnlockTensorBuffer, input);
        int64_t start = now();
        int failed = run(compiled, 0, 1, &input, 1, &output);
        timings[i] = now() - start;
        need(failed == 0, "LiteRT: the call failed");
    }
}

int main(int argc, char **argv) {
    need(argc > 8, "RUNTIME LIBRARY MODEL ROWS THREADS WARMUP CALLS DIM…");
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    void *library = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
    need(library != NULL, dlerror());
    for (int i = 8; i < argc; i++) dims[rank++] = atoll(argv[i]);
    read_rows(argv[4]);
    size_t warmup = (size_t)atoll(argv[6]), calls = (size_t)atoll(argv[7]);
    timings = calloc(warmup + calls, sizeof *timings);
    (strcmp(argv[1], "litert") == 0 ? loop_litert : loop_onnxruntime)(library, argv[3], atoi(argv[5]),
                                                                      warmup + calls);
    for (size_t i = warmup; i < warmup + calls; i++) printf("%lld\n", (long long)timings[i]);
    return 0;
}
