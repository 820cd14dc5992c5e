# The headers of Node-API, as the target eva_node_api. cmake-js passes their folders; without it Node knows where they are.
if(NOT CMAKE_JS_INC)
  execute_process(
    COMMAND node -p "[require('node-api-headers').include_dir, require('path').dirname(require.resolve('node-addon-api'))].join(';')"
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    OUTPUT_VARIABLE CMAKE_JS_INC OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE node_failed)
  if(node_failed)
    message(FATAL_ERROR "The Node-API headers were not found: run npm ci first.")
  endif()
endif()

add_library(eva_node_api INTERFACE)
target_include_directories(eva_node_api SYSTEM INTERFACE ${CMAKE_JS_INC})
# The last definition keeps worker.terminate() with work in flight from aborting the process.
target_compile_definitions(eva_node_api INTERFACE
  NAPI_VERSION=9 NODE_ADDON_API_DISABLE_DEPRECATED NAPI_CPP_EXCEPTIONS NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS)
