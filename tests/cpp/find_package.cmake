# Installs BUILD into PREFIX, configures and builds SOURCE against it, runs it on MODEL.
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
