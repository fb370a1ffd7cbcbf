# `cmake --install` of the C library: the header, the archive and a package for find_package(bitpress).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(FILES ${PROJECT_SOURCE_DIR}/include/bitpress/bitpress.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bitpress)
install(TARGETS bitpress_core EXPORT bitpress ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT bitpress NAMESPACE bitpress:: FILE bitpress-config.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/bitpress)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/bitpress-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bitpress-config-version.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/bitpress)
