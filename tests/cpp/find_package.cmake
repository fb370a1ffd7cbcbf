# Installs BUILD into PREFIX, configures and builds SOURCE against it, runs it on MODEL; then the same by PKG_CONFIG, where
# that is given.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGN}: ${status}\n${text}")
  endif()
endfunction()

file(REMOVE_RECURSE ${PREFIX} ${PREFIX}-consumer)
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX})
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${PREFIX}-consumer -DCMAKE_PREFIX_PATH=${PREFIX})
run(${CMAKE_COMMAND} --build ${PREFIX}-consumer)
run(${PREFIX}-consumer/consumer ${MODEL})

if(PKG_CONFIG)
  file(GLOB_RECURSE description ${PREFIX}/*/bitpress.pc)
  cmake_path(GET description PARENT_PATH folder)
  set(ENV{PKG_CONFIG_PATH} ${folder})
  execute_process(COMMAND ${PKG_CONFIG} --cflags --libs bitpress OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  run(${COMPILER} ${SOURCE}/../embed.c -o ${PREFIX}-consumer/by_pkg_config ${flags})
  run(${PREFIX}-consumer/by_pkg_config ${MODEL})
endif()
