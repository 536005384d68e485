# Half of the time of a build went into parsing the same headers again and again. Every source still
# includes what it uses: clang-tidy reads each changed one without these. What few sources use is not
# here: g++ instantiates what a header's inline functions use in every source that sees it, which
# costs one of nlohmann's json a second, of CLI11 seven.
set(sequela_standard_headers
    <algorithm> <array> <cmath> <cstdint> <cstring> <limits> <memory> <optional> <span> <string>
    <string_view> <utility> <vector> <fmt/format.h>)
set(sequela_common_headers
    ${sequela_standard_headers} <charconv> <chrono> <filesystem> <fstream> <functional> <map> <mutex>
    <set> <thread> <tuple> <unordered_map>)

# Lets ccache see into precompiled headers (with CCACHE_SLOPPINESS=pch_defines,time_macros).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(sequela_flags INTERFACE -fpch-preprocess)
endif()

target_precompile_headers(sequela_base PRIVATE ${sequela_standard_headers})
target_precompile_headers(sequela_kernels PRIVATE ${sequela_standard_headers})
target_precompile_headers(sequela_runtime PRIVATE ${sequela_common_headers})
target_precompile_headers(sequela_dataio PRIVATE ${sequela_common_headers})
target_precompile_headers(sequela_trainer PRIVATE ${sequela_common_headers})
target_precompile_headers(sequela PRIVATE ${sequela_common_headers})
