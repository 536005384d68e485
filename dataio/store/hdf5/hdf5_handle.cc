#include "dataio/store/hdf5/hdf5_handle.h"

#include <string_view>

#include "kernels/base/check.h"

namespace sequela {

std::int64_t SizeOf(ElementType type) {
  switch (type) {
    case ElementType::kU8:
      return 1;
    case ElementType::kU16:
      return 2;
    case ElementType::kU32:
    case ElementType::kF32:
      return 4;
    case ElementType::kU64:
    case ElementType::kI64:
      return 8;
  }
  SEQUELA_CHECK(false);
}

std::string_view NameOf(ElementType type) {
  switch (type) {
    case ElementType::kU8:
      return "uint8";
    case ElementType::kU16:
      return "uint16";
    case ElementType::kU32:
      return "uint32";
    case ElementType::kU64:
      return "uint64";
    case ElementType::kI64:
      return "int64";
    case ElementType::kF32:
      return "float32";
  }
  SEQUELA_CHECK(false);
}

namespace hdf5 {
namespace {

std::mutex& LibraryLock() {
  static std::mutex lock;
  return lock;
}

herr_t KeepInnermost(unsigned /*index*/, const H5E_error2_t* error, void* out) {
  auto* reason = static_cast<std::string*>(out);
  if (reason->empty() && error->desc != nullptr) *reason = error->desc;
  return 0;
}

}  // namespace

Session::Session() : lock_(LibraryLock()) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state(0);
}

hid_t FileType(ElementType type) {
  switch (type) {
    case ElementType::kU8:
      return H5T_STD_U8LE;
    case ElementType::kU16:
      return H5T_STD_U16LE;
    case ElementType::kU32:
      return H5T_STD_U32LE;
    case ElementType::kU64:
      return H5T_STD_U64LE;
    case ElementType::kI64:
      return H5T_STD_I64LE;
    case ElementType::kF32:
      return H5T_IEEE_F32LE;
  }
  SEQUELA_CHECK(false);
}

hid_t MemoryType(ElementType type) {
  switch (type) {
    case ElementType::kU8:
      return H5T_NATIVE_UINT8;
    case ElementType::kU16:
      return H5T_NATIVE_UINT16;
    case ElementType::kU32:
      return H5T_NATIVE_UINT32;
    case ElementType::kU64:
      return H5T_NATIVE_UINT64;
    case ElementType::kI64:
      return H5T_NATIVE_INT64;
    case ElementType::kF32:
      return H5T_NATIVE_FLOAT;
  }
  SEQUELA_CHECK(false);
}

std::string LastReason() {
  std::string reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, KeepInnermost, &reason);
  // "file write failed: time = ..., error message = 'No space left on device', buf = 0x..."
  constexpr std::string_view kMark = "error message = '";
  if (const auto begin = reason.find(kMark); begin != std::string::npos) {
    reason = reason.substr(begin + kMark.size());
    reason = reason.substr(0, reason.find('\''));
  }
  return reason.empty() ? "no reason given" : reason;
}

Handle FileAccess() {
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access.get(), false, true);
#endif
  return access;
}

}  // namespace hdf5
}  // namespace sequela
