# Every library from outside, found once here. Debian packages; Arrow from an installed Arrow or from
# the pyarrow wheel (there is no Arrow package in Debian 12).
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)

# Debian's dnnl CMake package demands OpenCL headers that nothing here needs.
find_library(DNNL_LIBRARY dnnl REQUIRED)
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
add_library(sequela_dnnl INTERFACE)
target_link_libraries(sequela_dnnl INTERFACE ${DNNL_LIBRARY})
target_include_directories(sequela_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})

find_library(HWY_LIBRARY hwy REQUIRED)
find_path(HWY_INCLUDE_DIR hwy/highway.h REQUIRED)
add_library(sequela_hwy INTERFACE)
target_link_libraries(sequela_hwy INTERFACE ${HWY_LIBRARY})
target_include_directories(sequela_hwy SYSTEM INTERFACE ${HWY_INCLUDE_DIR})

# With both -dev packages installed pkg-config's "hdf5" is the MPI build: ask for the serial one.
pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET hdf5-serial)

if(SEQUELA_WITH_MPI)
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI REQUIRED COMPONENTS C)
endif()
if(SEQUELA_WITH_ARROW)
  include(cmake/arrow.cmake)
endif()
if(SEQUELA_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
