#pragma once

#include <map>
#include <stdexcept>
#include <string>

namespace eva {

/// Base class of all errors that the library reports. `code` is stable and becomes `error.code` in
/// JavaScript; `details` (op, field, expected, actual, …) becomes `error.details`.
struct error : std::runtime_error {
  using detail_map = std::map<std::string, std::string>;

  error(const char* stable_code, const std::string& message, detail_map facts = {})
      : std::runtime_error(message), code(stable_code), details(std::move(facts)) {}

  const char* code;
  detail_map details;
};

struct shape_error : error {
  shape_error(const std::string& message, detail_map facts = {})
      : error("ERR_EVACLIP_SHAPE", message, std::move(facts)) {}
};

struct argument_error : error {
  argument_error(const std::string& message, detail_map facts = {})
      : error("ERR_EVACLIP_INVALID_ARGUMENT", message, std::move(facts)) {}
};

struct out_of_memory_error : error {
  out_of_memory_error(const std::string& message, detail_map facts = {})
      : error("ERR_EVACLIP_OUT_OF_MEMORY", message, std::move(facts)) {}
};

struct device_error : error {
  device_error(const std::string& message, detail_map facts = {})
      : error("ERR_EVACLIP_NO_DEVICE", message, std::move(facts)) {}
};

/// The device has failed, and everything on it is unusable.
struct device_lost_error : error {
  device_lost_error(const std::string& message, detail_map facts = {})
      : error("ERR_EVACLIP_DEVICE_LOST", message, std::move(facts)) {}
};

struct disposed_error : error {
  explicit disposed_error(const std::string& what)
      : error("ERR_EVACLIP_DISPOSED", what + " has been disposed") {}
};

/// An invalid value found at run time, such as a token id outside the vocabulary.
struct data_error : error {
  data_error(const std::string& message, detail_map facts = {})
      : error("ERR_EVACLIP_DATA", message, std::move(facts)) {}
};

}  // namespace eva
