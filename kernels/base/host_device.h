// Marks functions that both compilers build: the CPU's tests run them, the kernels use them.
#pragma once

#if defined(__CUDACC__)
#define SEQUELA_HOST_DEVICE __host__ __device__
#else
#define SEQUELA_HOST_DEVICE
#endif
