/* LiteRT with one model in it, through the interface that litert_interface.h describes. */
#include "litert_interface.h"
#include "runner.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tensor of the model, its buffer, and its place in the signature. */
struct place {
    void *buffer;
    struct tensor form;
    size_t index;
};
static struct litert litert;
static void *environment, *compiled, *signature;
static size_t inputs, outputs, slots;
static struct place in[MAX_TENSORS], out[MAX_TENSORS];
static void *in_buffers[MAX_TENSORS], *out_buffers[MAX_TENSORS]; /* in the signature's order */
static void *const *feeds;
static unsigned char *kept[MAX_TENSORS];

static const char *meaning(int failed) {
    static const struct {
        int number;
        const char *words;
    } errors[] = {
        {1, "invalid argument"},     {2, "memory allocation failure"},
        {3, "runtime failure"},      {4, "missing input tensor"},
        {5, "unsupported"},          {6, "not found"},
        {8, "wrong version"},        {500, "file error"},
        {501, "invalid flatbuffer"}, {502, "dynamic loading"},
        {503, "serialization"},      {504, "compilation"},
        {1001, "invalid type"},      {1002, "invalid graph"},
    };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].number == failed) return errors[i].words;
    return "unknown error";
}

static void check(int failed, const char *kind, const char *what) {
    if (failed != 0) fail(kind, "%s: LiteRT error %d (%s)", what, failed, meaning(failed));
}

static void open_library(struct engine *engine, const struct job *job) {
    if (job->avoid != NULL) fail("model", "%s, and the native runner has no other interface", job->avoid);
    void *library = dlopen(job->library, RTLD_NOW | RTLD_LOCAL), *symbol;
    if (library == NULL) fail("runtime_missing", "litert is not here: %s", dlerror());
    snprintf(engine->version, sizeof engine->version, "%s",
             job->library_version == NULL ? "unknown" : job->library_version);
#define FIND(name, arguments)                                                                                \
    symbol = dlsym(library, "LiteRt" #name);                                                                 \
    if (symbol == NULL)                                                                                      \
        fail("runtime_missing", "%s has no LiteRt" #name ": LiteRT 2.1.6 or later is needed", job->library); \
    memcpy(&litert.name, &symbol, sizeof symbol);
    FUNCTIONS(FIND)
    check(litert.CreateEnvironment(0, NULL, &environment), "runtime_missing", "litert");
}

static void load(struct engine *engine, const struct job *job) {
    void *model, *options, *cpu;
    struct text toml = {0};
    bool whole = false;
    append(&toml, "num_threads = %d\n", job->threads);
    check(litert.CreateModelFromFile(environment, job->model, &model), "model", "the model cannot be loaded");
    check(litert.CreateOptions(&options), "model", "options");
    check(litert.SetOptionsHardwareAccelerators(options, CPU), "model", "options");
    check(litert.CreateOpaqueOptions("xnnpack", toml.bytes, free, &cpu), "model", "options");
    check(litert.AddOpaqueOptions(options, cpu), "model", "options");
    check(litert.CreateCompiledModel(environment, model, options, &compiled), "model",
          "the model cannot be loaded");
    check(litert.GetModelSignature(model, 0, &signature), "model", "the model's signature");
    check(litert.CompiledModelIsFullyAccelerated(compiled, &whole), "model", "the model's coverage");
    snprintf(engine->coverage, sizeof engine->coverage, "%s",
             whole ? "every node" : "part of the nodes, the others by built-in kernels");
}

static uint32_t index_of(void *tensor) {
    uint32_t index = 0;
    check(litert.GetTensorIndex(tensor, &index), "model", "a tensor's index");
    return index;
}

/* The place of a tensor among `count` of the signature, by the function that gives those. */
static size_t find_place(void *tensor, size_t count, int (*by_index)(void *, size_t, void **)) {
    for (size_t i = 0; i < count; i++) {
        void *other;
        check(by_index(signature, i, &other), "model", "a tensor");
        if (index_of(other) == index_of(tensor)) return i;
    }
    fail("model", "the model's first signature does not have all inputs and outputs of its graph");
}

/* The signature's input that goes by `name`, as its own name or its tensor's; `inputs` where there is none.
 */
static size_t find_name(const char *name, bool tensors) {
    for (size_t i = 0; i < inputs; i++) {
        void *tensor;
        const char *known = "";
        check(litert.GetSignatureInputTensorByIndex(signature, i, &tensor), "model", "an input");
        check(tensors ? litert.GetTensorName(tensor, &known)
                      : litert.GetSignatureInputName(signature, i, &known),
              "model", "an input's name");
        if (strcmp(known, name) == 0) return i;
    }
    return inputs;
}

/* Order the inputs by the job's names, if these name them all. */
static bool order_by_names(const struct job *job, bool tensors) {
    size_t order[MAX_TENSORS];
    if (job->name_count != inputs) return false;
    for (size_t i = 0; i < inputs; i++) {
        order[i] = find_name(job->names[i], tensors);
        if (order[i] == inputs) return false;
    }
    for (size_t i = 0; i < inputs; i++) in[i].index = order[i];
    return true;
}

/* Order inputs as the job names them, else inputs and outputs as the graph has them. */
static void order_places(const struct job *job) {
    void *graph, *tensor;
    check(litert.GetSignatureSubgraph(signature, &graph), "model", "the graph");
    for (size_t i = 0; i < outputs; i++) {
        check(litert.GetSubgraphOutput(graph, i, &tensor), "model", "an output");
        out[i].index = find_place(tensor, outputs, litert.GetSignatureOutputTensorByIndex);
    }
    if (order_by_names(job, true) || order_by_names(job, false)) return;
    for (size_t i = 0; i < inputs; i++) {
        check(litert.GetSubgraphInput(graph, i, &tensor), "model", "an input");
        in[i].index = find_place(tensor, inputs, litert.GetSignatureInputTensorByIndex);
    }
}

/* What the model says of a tensor. */
static struct ranked type_of(size_t index, int (*by_index)(void *, size_t, void **)) {
    struct ranked type = {0};
    void *tensor;
    int kind = 0;
    check(by_index(signature, index, &tensor), "model", "a tensor");
    check(litert.GetTensorTypeId(tensor, &kind), "model", "a tensor's type");
    if (kind != 0) fail("model", "the model has a tensor without a shape");
    check(litert.GetRankedTensorType(tensor, &type), "model", "a tensor's type");
    return type;
}

static struct tensor form_from(const struct ranked *type) {
    struct tensor form = {.dtype = dtype_of_litert(type->element), .rank = (int)type->layout.rank};
    if (form.dtype == NULL)
        fail("model", "a tensor has elements of type %d, which are not known here", type->element);
    for (int i = 0; i < form.rank; i++) form.dims[i] = type->layout.dims[i];
    form.bytes = count_bytes(&form);
    return form;
}

/* Give an input with free dimensions the column's. */
static void resize(size_t index, const struct tensor *given) {
    struct ranked type = type_of(index, litert.GetSignatureInputTensorByIndex);
    bool is_free = false;
    int dims[MAX_RANK];
    for (unsigned i = 0; i < type.layout.rank; i++) is_free = is_free || type.layout.dims[i] < 1;
    for (int i = 0; i < given->rank; i++) dims[i] = (int)given->dims[i];
    if (is_free)
        check(litert.CompiledModelResizeInputTensor(compiled, 0, index, dims, (size_t)given->rank), "input",
              "an input's size");
}

static void make_buffer(struct place *place, struct ranked *type, void *requirements) {
    place->form = form_from(type);
    check(litert.CreateManagedTensorBufferFromRequirements(environment, type, requirements, &place->buffer),
          "model", "a buffer");
}

static size_t arrange(struct engine *engine, const struct job *job, const struct column *columns) {
    struct layout layouts[MAX_TENSORS];
    void *needs;
    (void)engine;
    check(litert.GetNumSignatureInputs(signature, &inputs), "model", "the inputs");
    check(litert.GetNumSignatureOutputs(signature, &outputs), "model", "the outputs");
    if (inputs > MAX_TENSORS || outputs > MAX_TENSORS)
        fail("model", "the model has over %d inputs or outputs", MAX_TENSORS);
    if (inputs != job->input_count) return inputs;
    order_places(job);
    for (size_t i = 0; i < inputs; i++) resize(in[i].index, &columns[i].row);
    check(litert.GetCompiledModelOutputTensorLayouts(compiled, 0, outputs, layouts, true), "model",
          "the outputs");
    for (size_t i = 0; i < inputs; i++) {
        struct ranked type = type_of(in[i].index, litert.GetSignatureInputTensorByIndex);
        check(litert.GetCompiledModelInputTensorLayout(compiled, 0, in[i].index, &type.layout), "model",
              "an input");
        check(litert.GetCompiledModelInputBufferRequirements(compiled, 0, in[i].index, &needs), "model",
              "an input");
        make_buffer(&in[i], &type, needs);
        in_buffers[in[i].index] = in[i].buffer;
        if (!same_form(&in[i].form, &columns[i].row))
            fail("input", "the input is %s, the model takes %s", form_of(&columns[i].row),
                 form_of(&in[i].form));
    }
    for (size_t i = 0; i < outputs; i++) {
        struct ranked type = type_of(out[i].index, litert.GetSignatureOutputTensorByIndex);
        type.layout = layouts[out[i].index];
        check(litert.GetCompiledModelOutputBufferRequirements(compiled, 0, out[i].index, &needs), "model",
              "an output");
        make_buffer(&out[i], &type, needs);
        out_buffers[out[i].index] = out[i].buffer;
        kept[i] = allocate(out[i].form.bytes);
    }
    return inputs;
}

static void prepare(size_t count, void *const *memory) {
    slots = count;
    feeds = memory;
}

static void write_inputs(size_t slot) {
    for (size_t i = 0; i < inputs; i++) {
        void *to;
        check(litert.LockTensorBuffer(in[i].buffer, &to, WRITE), "model", "an input's buffer");
        memcpy(to, feeds[slot * inputs + i], in[i].form.bytes);
        check(litert.UnlockTensorBuffer(in[i].buffer), "model", "an input's buffer");
    }
}

static size_t measure(int64_t *latency, size_t count, int64_t deadline) {
    for (size_t done = 0, slot = 0; done < count; done++) {
        write_inputs(slot);
        int64_t start = now_ns();
        int failed = litert.RunCompiledModel(compiled, 0, inputs, in_buffers, outputs, out_buffers);
        int64_t end = now_ns();
        latency[done] = end - start;
        check(failed, "model", "the model's call failed");
        if (end >= deadline) return done + 1;
        slot = slot + 1 == slots ? 0 : slot + 1;
    }
    return count;
}

static size_t answer(struct tensor *answers) {
    int64_t unused;
    measure(&unused, 1, INT64_MAX);
    for (size_t i = 0; i < outputs; i++) {
        void *from;
        check(litert.LockTensorBuffer(out[i].buffer, &from, READ), "model", "an output's buffer");
        memcpy(kept[i], from, out[i].form.bytes);
        check(litert.UnlockTensorBuffer(out[i].buffer), "model", "an output's buffer");
        answers[i] = out[i].form;
        answers[i].data = kept[i];
    }
    return outputs;
}

struct engine litert_engine = {
    .timed =
        "LiteRtRunCompiledModel: inputs written into the runtime's buffers before the clock starts, outputs "
        "read out of them after it stops",
    .provider = "CompiledModel CPU (XNNPACK)",
    .open = open_library,
    .load = load,
    .arrange = arrange,
    .prepare = prepare,
    .measure = measure,
    .answer = answer,
};
