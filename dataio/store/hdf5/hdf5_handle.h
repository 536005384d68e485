// What both directions of hdf5_file.h share: the lock, handles that close themselves, element
// types, the library's own words for a failure.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>

#include "dataio/store/hdf5/hdf5_file.h"

namespace sequela::hdf5 {

// Held during every call into the library; also silences its printing on this thread and forbids
// its plugins.
class Session {
 public:
  Session();

 private:
  std::scoped_lock<std::mutex> lock_;
};

// Closes on scope exit. A negative id is "failed"; the owner says what.
class Handle {
 public:
  using Closer = herr_t (*)(hid_t);
  Handle(hid_t id, Closer closer) : id_(id), closer_(closer) {}
  ~Handle() { Close(); }
  Handle(Handle&& other) noexcept : id_(other.id_), closer_(other.closer_) { other.id_ = -1; }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  bool ok() const { return id_ >= 0; }
  hid_t get() const { return id_; }
  // False where closing failed.
  bool Close() {
    const hid_t id = id_;
    id_ = -1;
    return id < 0 || closer_(id) >= 0;
  }

 private:
  hid_t id_;
  Closer closer_;
};

hid_t FileType(ElementType type);    // little-endian, on the disk
hid_t MemoryType(ElementType type);  // this machine's

// The innermost reason of the library's last failure on this thread, without addresses and times.
std::string LastReason();

// A file access property list without file locks.
Handle FileAccess();

}  // namespace sequela::hdf5
