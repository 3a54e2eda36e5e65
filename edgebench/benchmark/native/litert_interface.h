/* LiteRT's C interface (CompiledModel), as far as it is used; found by name in the shared library at run
   time.

   It is described by the headers under litert/c of google-ai-edge/LiteRT, as from release 2.1.6, when models
   came to be made within an environment. Threads are told as the runtime's own options for the CPU are: the
   identifier "xnnpack" with lines of TOML. */
#ifndef EDGEBENCH_LITERT_INTERFACE_H
#define EDGEBENCH_LITERT_INTERFACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CPU = 1, READ = 0, WRITE = 1, DEEPEST = 8 };

/* What the interface passes by value or in memory. */
struct layout {
    unsigned rank : 7, has_strides : 1;
    int32_t dims[DEEPEST];
    uint32_t strides[DEEPEST];
};
struct ranked {
    int element;
    struct layout layout;
};

/* The functions: X(name in the library without `LiteRt`, its arguments). Each returns 0 or an error. */
#define FUNCTIONS(X)                                                                                 \
    X(CreateEnvironment, (int, const void *, void **))                                               \
    X(CreateModelFromFile, (void *, const char *, void **))                                          \
    X(CreateModelFromFd, (void *, int, size_t, size_t, void **)) /* not called: tells the release */ \
    X(CreateOptions, (void **))                                                                      \
    X(SetOptionsHardwareAccelerators, (void *, int))                                                 \
    X(CreateOpaqueOptions, (const char *, void *, void (*)(void *), void **))                        \
    X(AddOpaqueOptions, (void *, void *))                                                            \
    X(CreateCompiledModel, (void *, void *, void *, void **))                                        \
    X(CompiledModelIsFullyAccelerated, (void *, bool *))                                             \
    X(CompiledModelResizeInputTensor, (void *, size_t, size_t, const int *, size_t))                 \
    X(GetModelSignature, (void *, size_t, void **))                                                  \
    X(GetSignatureSubgraph, (void *, void **))                                                       \
    X(GetNumSignatureInputs, (void *, size_t *))                                                     \
    X(GetNumSignatureOutputs, (void *, size_t *))                                                    \
    X(GetSignatureInputName, (void *, size_t, const char **))                                        \
    X(GetSignatureInputTensorByIndex, (void *, size_t, void **))                                     \
    X(GetSignatureOutputTensorByIndex, (void *, size_t, void **))                                    \
    X(GetSubgraphInput, (void *, size_t, void **))                                                   \
    X(GetSubgraphOutput, (void *, size_t, void **))                                                  \
    X(GetTensorName, (void *, const char **))                                                        \
    X(GetTensorIndex, (void *, uint32_t *))                                                          \
    X(GetTensorTypeId, (void *, int *))                                                              \
    X(GetRankedTensorType, (void *, struct ranked *))                                                \
    X(GetCompiledModelInputTensorLayout, (void *, size_t, size_t, struct layout *))                  \
    X(GetCompiledModelOutputTensorLayouts, (void *, size_t, size_t, struct layout *, bool))          \
    X(GetCompiledModelInputBufferRequirements, (void *, size_t, size_t, void **))                    \
    X(GetCompiledModelOutputBufferRequirements, (void *, size_t, size_t, void **))                   \
    X(CreateManagedTensorBufferFromRequirements, (void *, const struct ranked *, void *, void **))   \
    X(LockTensorBuffer, (void *, void **, int))                                                      \
    X(UnlockTensorBuffer, (void *))                                                                  \
    X(RunCompiledModel, (void *, size_t, size_t, void **, size_t, void **))

#define MEMBER(name, arguments) int(*name) arguments;
struct litert {
    FUNCTIONS(MEMBER)
};

#endif
