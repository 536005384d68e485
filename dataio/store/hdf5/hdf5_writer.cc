#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <system_error>

#include "dataio/store/hdf5/hdf5_handle.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela {

using hdf5::Handle;
using hdf5::Session;

namespace {

[[noreturn]] void Fail(const std::filesystem::path& file, std::string_view what) {
  throw MachineError("{}: cannot {}: {}", file.string(), what, hdf5::LastReason());
}

// The library would create it with the umask's mode; made here first, it keeps 0600.
void CreatePrivateFile(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) {
    throw MachineError("{}: cannot create: {}", file.string(),
                       std::generic_category().message(errno));
  }
  ::close(fd);
}

Handle CreateFile(const std::filesystem::path& file) {
  CreatePrivateFile(file);
  const Session session;
  const Handle access = hdf5::FileAccess();
  H5Pset_alignment(access.get(), 1, kDatasetAlignment);
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation.get(), false);
  Handle handle(H5Fcreate(file.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose);
  if (!handle.ok()) Fail(file, "create");
  return handle;
}

}  // namespace

struct Hdf5Writer::Impl {
  struct Dataset {
    Handle handle;
    ElementType type;
    std::int64_t count;
  };

  std::filesystem::path path;
  Handle file;
  std::map<std::string, Dataset> datasets;

  const Dataset& Find(const std::string& name) const {
    const auto found = datasets.find(name);
    SEQUELA_CHECK(found != datasets.end(), "no dataset {}", name);
    return found->second;
  }

  void SetAttribute(const std::string& object, const std::string& name, hid_t type,
                    const void* value) {
    const Handle owner(H5Oopen(file.get(), object.c_str(), H5P_DEFAULT), H5Oclose);
    const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    const Handle attribute(
        H5Acreate2(owner.get(), name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose);
    if (!attribute.ok() || H5Awrite(attribute.get(), type, value) < 0) {
      Fail(path, "write attribute " + name);
    }
  }
};

Hdf5Writer::Hdf5Writer(std::filesystem::path file)
    : impl_(new Impl{.path = file, .file = CreateFile(file), .datasets = {}}) {}

Hdf5Writer::~Hdf5Writer() {
  const Session session;
  impl_->datasets.clear();
  impl_->file.Close();
}

void Hdf5Writer::CreateDataset(const std::string& path, ElementType type, std::int64_t count) {
  const Session session;
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links.get(), 1);
  const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(creation.get(), false);
  const auto size = static_cast<hsize_t>(count);
  const Handle space(H5Screate_simple(1, &size, nullptr), H5Sclose);
  Handle dataset(H5Dcreate2(impl_->file.get(), path.c_str(), hdf5::FileType(type), space.get(),
                            links.get(), creation.get(), H5P_DEFAULT),
                 H5Dclose);
  if (!dataset.ok()) Fail(impl_->path, "create dataset " + path);
  impl_->datasets.emplace(path, Impl::Dataset{std::move(dataset), type, count});
}

void Hdf5Writer::Write(const std::string& path, std::int64_t begin, const void* data,
                       std::int64_t count) {
  const Impl::Dataset& dataset = impl_->Find(path);
  SEQUELA_CHECK(begin >= 0 && count >= 0 && begin + count <= dataset.count, "{}: [{}, +{}) of {}",
                path, begin, count, dataset.count);
  if (count == 0) return;
  const Session session;
  const auto start = static_cast<hsize_t>(begin);
  const auto size = static_cast<hsize_t>(count);
  const Handle file_space(H5Dget_space(dataset.handle.get()), H5Sclose);
  H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, &start, nullptr, &size, nullptr);
  const Handle memory_space(H5Screate_simple(1, &size, nullptr), H5Sclose);
  if (H5Dwrite(dataset.handle.get(), hdf5::MemoryType(dataset.type), memory_space.get(),
               file_space.get(), H5P_DEFAULT, data) < 0) {
    Fail(impl_->path, "write " + path);
  }
}

void Hdf5Writer::SetAttribute(const std::string& object, const std::string& name,
                              std::string_view value) {
  SEQUELA_CHECK(!value.empty(), "attribute {} is empty", name);
  const Session session;
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), value.size());
  H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  impl_->SetAttribute(object, name, type.get(), value.data());
}

void Hdf5Writer::SetAttribute(const std::string& object, const std::string& name,
                              std::uint32_t value) {
  const Session session;
  impl_->SetAttribute(object, name, H5T_STD_U32LE, &value);
}

void Hdf5Writer::Close() {
  {
    const Session session;
    impl_->datasets.clear();
    if (!impl_->file.Close()) Fail(impl_->path, "close");
  }
  SyncPath(impl_->path);
}

const std::filesystem::path& Hdf5Writer::path() const { return impl_->path; }

}  // namespace sequela
