# The systemd units, once for the build tree, where the tests read them, and once when they are installed, as the prefix is known only then.
set(weft_units weft-recover.service weft-apply@.service weft-watch@.service weft-guardian.service)

# For the build tree: with the program that was built.
set(WEFT_PROGRAM ${CMAKE_BINARY_DIR}/bin/weft)
set(WEFT_NODE ${CMAKE_BINARY_DIR}/bin/weft-node)
set(WEFT_DOC ${PROJECT_SOURCE_DIR}/docs)
foreach(unit ${weft_units})
    configure_file(${PROJECT_SOURCE_DIR}/systemd/${unit}.in ${CMAKE_BINARY_DIR}/systemd/${unit} @ONLY)
endforeach()

if(WEFT_INSTALL)
    install(CODE "
        set(WEFT_PROGRAM \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/weft)
        set(WEFT_NODE \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBEXECDIR}/weft/weft-node)
        set(WEFT_DOC \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR})
        foreach(unit ${weft_units})
            configure_file(${PROJECT_SOURCE_DIR}/systemd/\${unit}.in ${CMAKE_BINARY_DIR}/package-files/\${unit} @ONLY)
            file(INSTALL ${CMAKE_BINARY_DIR}/package-files/\${unit} DESTINATION \${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
        endforeach()
    ")
    install(FILES ${PROJECT_SOURCE_DIR}/docs/operations.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
endif()
