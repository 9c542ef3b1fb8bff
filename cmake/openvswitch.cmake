# libopenvswitch, which Debian ships as source only: built once into WEFT_OVS_BUILD, at configure time (about a minute).
if(NOT EXISTS ${WEFT_OVS_BUILD}/lib/.libs/libopenvswitch.a)
    message(STATUS "Building libopenvswitch from ${WEFT_OVS_SOURCE} into ${WEFT_OVS_BUILD}, once")
    execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/build-openvswitch.sh ${WEFT_OVS_SOURCE} ${WEFT_OVS_BUILD}
                    RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "libopenvswitch could not be built; see make.log and configure.log in ${WEFT_OVS_BUILD}. "
                            "Debian's source is in the package openvswitch-source; -DWEFT_OVS_SOURCE= takes another.")
    endif()
endif()
add_library(weft_openvswitch STATIC IMPORTED)
set_target_properties(weft_openvswitch PROPERTIES IMPORTED_LOCATION ${WEFT_OVS_BUILD}/lib/.libs/libopenvswitch.a)
# For the C files of lib/ovs only: the tree's own linux/netlink.h and string.h would shadow the system's elsewhere.
set(WEFT_OVS_INCLUDES ${WEFT_OVS_BUILD} ${WEFT_OVS_BUILD}/include ${WEFT_OVS_BUILD}/lib)
target_link_libraries(weft_openvswitch INTERFACE OpenSSL::SSL OpenSSL::Crypto Threads::Threads rt m ${CMAKE_DL_LIBS})
