# A top-level folder is one static library made of every .cc below it, except parts that an option leaves
# out. Foreign libraries are linked where their one folder is.
function(sequela_folder name)
  # Relative, so that no folder above the sources is taken for a part.
  file(GLOB_RECURSE sources RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS ${name}/*.cc)
  list(FILTER sources EXCLUDE REGEX "^kernels/base/")
  if(sequela_cuda)
    file(GLOB_RECURSE cuda_sources RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS ${name}/*.cu)
    list(FILTER cuda_sources EXCLUDE REGEX "/hopper/")
    list(APPEND sources ${cuda_sources})
  else()
    list(FILTER sources EXCLUDE REGEX "/cuda/")
  endif()
  if(NOT SEQUELA_WITH_ARROW)
    list(FILTER sources EXCLUDE REGEX "/arrow/")
  endif()
  if(NOT SEQUELA_WITH_MPI)
    list(FILTER sources EXCLUDE REGEX "/mpi/|/nccl/")
  endif()
  if(NOT sequela_nccl)  # what is built upon it is tested without it
    list(FILTER sources EXCLUDE REGEX "/nccl/nccl_library\\.cc")
  endif()
  if(NOT sources)
    file(WRITE ${CMAKE_BINARY_DIR}/${name}_empty.cc "")
    set(sources ${CMAKE_BINARY_DIR}/${name}_empty.cc)
  endif()
  add_library(sequela_${name} STATIC ${sources})
  target_link_libraries(sequela_${name} PRIVATE sequela_flags)
  cmake_language(CALL sequela_link_${name})
endfunction()

# What every folder may use (kernels/base) is a library of its own: what needs no more than that links
# and builds no more (dataio, the fuzz targets).
function(sequela_base_library)
  file(GLOB sources RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS kernels/base/*.cc)
  add_library(sequela_base STATIC ${sources})
  target_link_libraries(sequela_base PUBLIC fmt::fmt Threads::Threads PRIVATE sequela_flags)
endfunction()

function(sequela_link_kernels)
  target_link_libraries(sequela_kernels PUBLIC sequela_base OpenMP::OpenMP_CXX
                        PRIVATE sequela_dnnl sequela_hwy)
  # Every Highway file is compiled once for each instruction set. Machines that train have AVX2 or
  # AVX-512 (and any x86-64 the plain version): leaving out the two between halves the build. Under
  # the sanitizers, which make these files slow to compile, there is AVX2 alone.
  set(left_out "HWY_SSSE3|HWY_SSE4")
  if(SEQUELA_SANITIZE)
    string(APPEND left_out "|HWY_AVX3|HWY_AVX3_DL")
    target_compile_options(sequela_kernels PRIVATE -O1)
    if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
      target_compile_options(sequela_kernels PRIVATE -march=haswell)
    endif()
  endif()
  target_compile_definitions(sequela_kernels PRIVATE "HWY_DISABLED_TARGETS=(${left_out})")
  if(sequela_cuda)
    target_compile_definitions(sequela_kernels PUBLIC SEQUELA_WITH_CUDA=1)
    target_link_libraries(sequela_kernels PRIVATE CUDA::cudart_static CUDA::cublasLt)
    # What only sm_90a can: no other architecture's code is made of it.
    file(GLOB hopper RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS kernels/cuda/hopper/*.cu)
    add_library(sequela_kernels_hopper OBJECT ${hopper})
    set_target_properties(sequela_kernels_hopper PROPERTIES CUDA_ARCHITECTURES 90a-real)
    target_link_libraries(sequela_kernels_hopper PRIVATE sequela_flags)
    target_sources(sequela_kernels PRIVATE $<TARGET_OBJECTS:sequela_kernels_hopper>)
  endif()
endfunction()

function(sequela_link_runtime)
  target_link_libraries(sequela_runtime PUBLIC sequela_kernels
                        PRIVATE spdlog::spdlog nlohmann_json::nlohmann_json)
  if(SEQUELA_WITH_MPI)
    target_link_libraries(sequela_runtime PRIVATE MPI::MPI_C)
    target_compile_definitions(sequela_runtime PUBLIC SEQUELA_WITH_MPI=1)
  endif()
  if(sequela_cuda)
    target_link_libraries(sequela_runtime PRIVATE CUDA::cudart_static)
  endif()
  if(sequela_nccl)
    target_link_libraries(sequela_runtime PRIVATE sequela_nccl)
    target_compile_definitions(sequela_runtime PRIVATE SEQUELA_WITH_NCCL=1)
  endif()
endfunction()

function(sequela_link_dataio)
  target_link_libraries(sequela_dataio PUBLIC sequela_base
                        PRIVATE nlohmann_json::nlohmann_json PkgConfig::HDF5 PkgConfig::PCRE2
                                yaml-cpp)
  if(SEQUELA_WITH_ARROW)
    target_link_libraries(sequela_dataio PRIVATE sequela_arrow)
    target_compile_definitions(sequela_dataio PUBLIC SEQUELA_WITH_ARROW=1)
  endif()
endfunction()

function(sequela_link_trainer)
  # A text that checkpoints carry is compiled in.
  set(modeling ${PROJECT_SOURCE_DIR}/trainer/model/modeling_sequela.py)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${modeling})
  file(READ ${modeling} modeling_text)
  configure_file(trainer/model/modeling_source.cc.in ${CMAKE_BINARY_DIR}/modeling_source.cc @ONLY)
  target_sources(sequela_trainer PRIVATE ${CMAKE_BINARY_DIR}/modeling_source.cc)
  target_link_libraries(sequela_trainer PUBLIC sequela_runtime sequela_dataio
                        PRIVATE nlohmann_json::nlohmann_json)
endfunction()
