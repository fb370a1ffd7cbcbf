# `cmake --install` of the C library: the header, the archive and a package for find_package(bitpress), one for pkg-config.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(FILES ${PROJECT_SOURCE_DIR}/include/bitpress/bitpress.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bitpress)
install(TARGETS bitpress_core EXPORT bitpress ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(BITPRESS_THREADS)
  install(FILES ${PROJECT_SOURCE_DIR}/include/bitpress/threads.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bitpress)
  install(TARGETS bitpress_threads EXPORT bitpress ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(EXPORT bitpress NAMESPACE bitpress:: FILE bitpress-config.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/bitpress)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/bitpress-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bitpress-config-version.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/bitpress)

file(RELATIVE_PATH BITPRESS_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)  # the archive may be moved with it
configure_file(cmake/bitpress.pc.in ${CMAKE_CURRENT_BINARY_DIR}/bitpress.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bitpress.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
