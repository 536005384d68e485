# Flags that every target of ours is compiled with. Warnings are errors: a warning that nobody reads
# is worse than none.
add_library(sequela_flags INTERFACE)
target_include_directories(sequela_flags INTERFACE ${PROJECT_SOURCE_DIR})
# nvcc takes others (cmake/cuda.cmake).
set(sequela_cxx_flags -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor
    -Woverloaded-virtual -fno-math-errno -ffp-contract=off
    # Argument structs have defaults and are filled by designated initialisers.
    -Wno-missing-field-initializers)
target_compile_options(sequela_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${sequela_cxx_flags}>")
target_compile_definitions(sequela_flags INTERFACE SEQUELA_VERSION="${PROJECT_VERSION}")
if(SEQUELA_SANITIZE)
  target_compile_options(sequela_flags INTERFACE -fsanitize=${SEQUELA_SANITIZE}
                         -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(sequela_flags INTERFACE -fsanitize=${SEQUELA_SANITIZE})
  target_compile_definitions(sequela_flags INTERFACE SEQUELA_SANITIZED=1)
endif()
