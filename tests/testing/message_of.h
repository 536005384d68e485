// What a user would read.
#pragma once

#include <functional>
#include <string>

#include "kernels/base/errors.h"

namespace sequela::testing {

// The message with which an action refuses its input; "accepted" where it does not.
inline std::string MessageOf(const std::function<void()>& act) {
  try {
    act();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace sequela::testing
