# The CUDA backend: built where nvcc is found (SEQUELA_WITH_CUDA=AUTO), by demand (ON) or not at all
# (OFF). The program that comes of it starts without a driver: libcuda is never linked.
set(SEQUELA_WITH_CUDA AUTO CACHE STRING "CUDA backend: AUTO (where nvcc is found), ON or OFF")
set(sequela_cuda OFF)
set(sequela_nccl OFF)
if(SEQUELA_WITH_CUDA STREQUAL "OFF" OR SEQUELA_SANITIZE)
  return()
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(SEQUELA_WITH_CUDA STREQUAL "ON")
    message(FATAL_ERROR "SEQUELA_WITH_CUDA=ON, but no nvcc was found: put it on the PATH or set "
            "-DCMAKE_CUDA_COMPILER=/usr/local/cuda/bin/nvcc")
  endif()
  return()
endif()
# 90a is not forward compatible: the virtual 80 is what later architectures start from.
set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;100-real;80-virtual" CACHE STRING "")
enable_language(CUDA)
set(sequela_cuda ON)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
# CMake 3.25 knows no C++20 for nvcc and would drop it in silence.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
find_package(CUDAToolkit REQUIRED)

# Several GPUs in a job take NCCL, 2.27 or newer, and MPI to find each other. Without them the build
# has one GPU a job, and says so where more are asked for.
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib)
if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY AND SEQUELA_WITH_MPI)
  set(sequela_nccl ON)
  add_library(sequela_nccl INTERFACE)
  target_link_libraries(sequela_nccl INTERFACE ${NCCL_LIBRARY} CUDA::cudart_static)
  target_include_directories(sequela_nccl SYSTEM INTERFACE ${NCCL_INCLUDE_DIR})
else()
  message(STATUS "No NCCL (nccl.h, libnccl) or no MPI: one GPU for each job")
endif()

# No fusing of products and sums that the source does not ask for (fmaf): what the interpreter of
# tests/ptx computes is then what a GPU computes, bit for bit.
set(sequela_nvcc_flags --fmad=false --expt-relaxed-constexpr -Werror all-warnings)
target_compile_options(sequela_flags INTERFACE
                       "$<$<COMPILE_LANGUAGE:CUDA>:${sequela_nvcc_flags};-Xcompiler=-ffp-contract=off>")

# The PTX of the .cu files in a folder of the sources, compiled with the flags of those that ship:
# build/<output>/<architecture>/<file>.ptx for each architecture after the named arguments.
function(sequela_ptx target folder output)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cu)
  set(outputs "")
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    foreach(architecture ${ARGN})
      set(file ${CMAKE_BINARY_DIR}/${output}/${architecture}/${name}.ptx)
      add_custom_command(OUTPUT ${file} DEPENDS ${source} DEPFILE ${file}.d
        COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/${output}/${architecture}
        COMMAND ${CMAKE_CUDA_COMPILER} -ptx -O3 -DNDEBUG -std=c++20 ${sequela_nvcc_flags}
                -arch=compute_${architecture} -I${PROJECT_SOURCE_DIR} -MD -MF ${file}.d
                -o ${file} ${source}
        COMMAND_EXPAND_LISTS VERBATIM COMMENT "PTX ${architecture}/${name}")
      list(APPEND outputs ${file})
    endforeach()
  endforeach()
  add_custom_target(${target} DEPENDS ${outputs})
endfunction()
