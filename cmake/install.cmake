# Installation: the static library, the headers, the CMake package weft::weft, weft.pc, the program and its helper.
# libopenvswitch has no package of its own to depend on, so it is installed beside the library under a name of its own.
# A project that takes weft in by add_subdirectory installs nothing of it unless it says -DWEFT_INSTALL=ON.
option(WEFT_INSTALL "Make the install target install weft" ${PROJECT_IS_TOP_LEVEL})
if(NOT WEFT_INSTALL)
    return()
endif()
include(CMakePackageConfigHelpers)
set(weft_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weft)

# weft_warnings stands in the link interface of a static library ($<LINK_ONLY:…>), so it has to be exported with it; its
# options do not reach a consumer.
install(TARGETS weft weft_warnings EXPORT weft-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT weft-targets NAMESPACE weft:: DESTINATION ${weft_cmake_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/weft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(FILES ${WEFT_OVS_BUILD}/lib/.libs/libopenvswitch.a DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME libweft-openvswitch.a)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/weft-config.cmake.in ${CMAKE_BINARY_DIR}/package-files/weft-config.cmake
                              INSTALL_DESTINATION ${weft_cmake_dir} PATH_VARS CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package-files/weft-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package-files/weft-config.cmake ${CMAKE_BINARY_DIR}/package-files/weft-config-version.cmake
        DESTINATION ${weft_cmake_dir})

# A build with sanitizers gives an archive that can only be linked with them.
set(weft_pc_extra "")
if(WEFT_SANITIZE)
    set(weft_pc_extra "-fsanitize=address,undefined")
endif()
# The prefix is told by the place of the file, so that an installation can be moved: one step up for each part of LIBDIR.
string(REGEX REPLACE "[^/]+" ".." weft_pc_up "${CMAKE_INSTALL_LIBDIR}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/weft.pc.in ${CMAKE_BINARY_DIR}/package-files/weft.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/package-files/weft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET weft_cli)
    install(TARGETS weft_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
# The program looks for its helper in ../libexec/weft beside its own folder.
if(TARGET weft-node)
    install(TARGETS weft-node RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/weft)
endif()
