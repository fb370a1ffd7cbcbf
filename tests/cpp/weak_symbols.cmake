# Fails where an object file of an instruction set's folder exports a weak symbol: compiled for that set, it may become the
# copy that the whole program links (docs/design.md, "The dispatch seam"). NM: the program; OBJECTS: a list of files.
foreach(object IN LISTS OBJECTS)
  if(NOT object MATCHES "/kernels/[a-z0-9]+/" OR object MATCHES "/kernels/scalar/")
    continue()
  endif()
  execute_process(COMMAND ${NM} --defined-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  if(symbols MATCHES "[0-9a-f]+ [WwVvu] [^\n]*")
    message(FATAL_ERROR "${object} exports weak: ${CMAKE_MATCH_0}")
  endif()
endforeach()
