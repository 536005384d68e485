# Arrow and Parquet as the target sequela_arrow: an installed Arrow first, then the pyarrow wheel of
# the virtual environment that launch/setup.sh makes.
add_library(sequela_arrow INTERFACE)
find_package(Arrow CONFIG QUIET)
find_package(Parquet CONFIG QUIET)
if(Arrow_FOUND AND Parquet_FOUND)
  target_link_libraries(sequela_arrow INTERFACE Arrow::arrow_shared Parquet::parquet_shared)
  set(SEQUELA_ARROW_SOURCE "installed Arrow ${Arrow_VERSION}")
  return()
endif()

set(SEQUELA_ARROW_PYTHON "$ENV{SEQUELA_ARROW_PYTHON}" CACHE FILEPATH
    "Python of an environment that holds the pyarrow wheel; empty: .venv/bin/python3")
set(arrow_python "${SEQUELA_ARROW_PYTHON}")
if(NOT arrow_python)
  set(arrow_python "${PROJECT_SOURCE_DIR}/.venv/bin/python3")
endif()
execute_process(
  COMMAND "${arrow_python}" -c
          "import pyarrow as p; print(p.get_include()); print(p.get_library_dirs()[0]); print(p.__version__); print(p.cpp_build_info.so_version if hasattr(p.cpp_build_info,'so_version') else '')"
  OUTPUT_VARIABLE arrow_facts RESULT_VARIABLE arrow_result ERROR_QUIET
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT arrow_result EQUAL 0)
  message(FATAL_ERROR "No Arrow found: neither an installed Arrow nor the pyarrow wheel at "
          "${arrow_python}. Run launch/setup.sh, or configure with -DSEQUELA_WITH_ARROW=OFF "
          "(no ingest, describe, simulate).")
endif()
string(REPLACE "\n" ";" arrow_facts "${arrow_facts}")
list(GET arrow_facts 0 arrow_include)
list(GET arrow_facts 1 arrow_library_dir)
list(GET arrow_facts 2 arrow_version)
# The wheel carries only versioned names; links to them live in the build folder, never in the wheel:
# under the plain name for the linker, under their own where the program looks for them.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/arrow)
foreach(name arrow parquet)
  file(GLOB found "${arrow_library_dir}/lib${name}.so.*")
  list(SORT found)
  list(GET found 0 library)
  get_filename_component(versioned_name "${library}" NAME)
  file(CREATE_LINK "${library}" "${CMAKE_BINARY_DIR}/arrow/${versioned_name}" SYMBOLIC)
  file(CREATE_LINK "${library}" "${CMAKE_BINARY_DIR}/arrow/lib${name}.so" SYMBOLIC)
  target_link_libraries(sequela_arrow INTERFACE "${CMAKE_BINARY_DIR}/arrow/lib${name}.so")
endforeach()
target_include_directories(sequela_arrow SYSTEM INTERFACE "${arrow_include}")
set(SEQUELA_ARROW_SOURCE "pyarrow wheel ${arrow_version}")
