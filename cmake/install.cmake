# cmake --install DIR --prefix PREFIX: a tree that runs from wherever it lies, with the libraries that a
# machine may not have below lib/sequela, where no other program finds them. Not among them: the C and
# C++ runtime, and MPI, which belongs to the machine's launcher and network.
set(sequela_system_libraries
    "^ld-linux" "^lib(c|m|dl|rt|pthread|resolv)\\.so" "^libstdc\\+\\+\\.so" "^libgcc_s\\.so"
    "^libmpi\\.so" "^libcuda\\.so" "^libnvidia")
set_target_properties(sequela PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/sequela")
# DT_RPATH, not DT_RUNPATH: it holds for what those libraries need in their turn, too.
target_link_options(sequela PRIVATE -Wl,--disable-new-dtags)

install(TARGETS sequela RUNTIME_DEPENDENCY_SET sequela_libraries RUNTIME DESTINATION bin)
install(RUNTIME_DEPENDENCY_SET sequela_libraries PRE_EXCLUDE_REGEXES ${sequela_system_libraries}
        LIBRARY DESTINATION lib/sequela)
install(PROGRAMS launch/mpirun.sh launch/sequela.sbatch DESTINATION share/sequela/launch)
install(DIRECTORY configs docs DESTINATION share/sequela)
install(FILES README.md LICENSE DESTINATION share/sequela)
