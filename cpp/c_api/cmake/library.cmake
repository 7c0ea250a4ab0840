# The C library, shared and static, its CMake package, and the runner.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(header_folder ${CMAKE_CURRENT_SOURCE_DIR}/cpp/c_api)
foreach(target embedrt embedrt_static)
  if(target STREQUAL embedrt)
    add_library(${target} SHARED cpp/c_api/embedrt.cc)
    target_compile_definitions(${target} PRIVATE EMBEDRT_BUILDING)
    target_link_libraries(${target} PRIVATE embedrt_core)
  else()
    # An archive of everything: what it was linked with would otherwise have to be installed beside it.
    add_library(${target} STATIC cpp/c_api/embedrt.cc $<TARGET_OBJECTS:embedrt_core> ${kernel_objects})
    target_compile_definitions(${target} PUBLIC EMBEDRT_STATIC)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:embedrt_flags> PUBLIC Threads::Threads)
  endif()
  add_library(embedrt::${target} ALIAS ${target})
  target_compile_definitions(${target} PRIVATE EMBEDRT_VERSION="${PROJECT_VERSION}")
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${header_folder}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()
# Windows calls the file that a program links for a DLL embedrt.lib, too.
set_target_properties(embedrt_static PROPERTIES OUTPUT_NAME $<IF:$<BOOL:${MSVC}>,embedrt_static,embedrt>)

# Until 1.0 every minor version may change the interface.
set_target_properties(embedrt PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
# Hidden visibility leaves what the C++ library's headers declare visible: templates that are instantiated here.
set(exports)
if(APPLE)
  set(exports ${CMAKE_CURRENT_SOURCE_DIR}/cpp/c_api/cmake/exports.txt)
  target_link_options(embedrt PRIVATE LINKER:-exported_symbols_list,${exports})
elseif(NOT WIN32)
  set(exports ${CMAKE_CURRENT_SOURCE_DIR}/cpp/c_api/cmake/exports.map)
  target_link_options(embedrt PRIVATE LINKER:--version-script=${exports})
endif()
set_target_properties(embedrt PROPERTIES LINK_DEPENDS "${exports}")

# Included into another project, the library is that project's to build, install and run.
if(NOT CMAKE_SOURCE_DIR STREQUAL PROJECT_SOURCE_DIR)
  return()
endif()

add_executable(embedrt_run cpp/runner/embedrt_run.cc)
set_target_properties(embedrt_run PROPERTIES OUTPUT_NAME embedrt-run MACOSX_BUNDLE OFF)
target_link_libraries(embedrt_run PRIVATE embedrt_flags embedrt_static $<$<BOOL:${WIN32}>:shell32>)

# What a C program that links the static library needs of the C++ runtime, where its project has no C++.
set(runtime ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(FILTER runtime INCLUDE REGEX "^(stdc\\+\\+|c\\+\\+|c\\+\\+abi|m)$")
list(REMOVE_DUPLICATES runtime)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/embedrt)
configure_package_config_file(cpp/c_api/cmake/embedrt-config.cmake.in embedrt-config.cmake INSTALL_DESTINATION ${package}
                              NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(embedrt-config-version.cmake COMPATIBILITY SameMinorVersion)
install(TARGETS embedrt embedrt_static EXPORT embedrt)
install(TARGETS embedrt_run)
install(FILES cpp/c_api/embedrt.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT embedrt NAMESPACE embedrt:: FILE embedrt-targets.cmake DESTINATION ${package})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/embedrt-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/embedrt-config-version.cmake
        DESTINATION ${package})
