#include <array>
#include <vector>

#include "dataio/store/hdf5/hdf5_handle.h"
#include "kernels/base/errors.h"

namespace sequela {

using hdf5::Handle;
using hdf5::Session;

namespace {

constexpr std::array kTypes = {ElementType::kU8,  ElementType::kU16, ElementType::kU32,
                               ElementType::kU64, ElementType::kI64, ElementType::kF32};
constexpr std::size_t kMaxAttributeBytes = 4096;

Handle OpenFile(const std::filesystem::path& file) {
  const Session session;
  const Handle access = hdf5::FileAccess();
  Handle handle(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (!handle.ok()) {
    throw InputError(
        "{}: cannot be opened as an HDF5 file ({}). It is damaged or no shard of a "
        "chain store: copy it again, or ingest again.",
        file.string(), hdf5::LastReason());
  }
  return handle;
}

}  // namespace

struct Hdf5Reader::Impl {
  std::filesystem::path path;
  Handle file;

  [[noreturn]] void Refuse(const std::string& object, std::string_view what) const {
    throw InputError(
        "{}: {}: {}. The file is damaged or no shard of a chain store: copy it again, "
        "or ingest again.",
        path.string(), object, what);
  }

  // Only hard links: every other kind may lead out of this file.
  void RefuseForeignLinks(const std::string& object) const {
    for (std::size_t end = object.find('/', 1);; end = object.find('/', end + 1)) {
      const std::string part = object.substr(0, end);
      H5L_info_t info;
      if (H5Lget_info(file.get(), part.c_str(), &info, H5P_DEFAULT) < 0) Refuse(part, "missing");
      if (info.type != H5L_TYPE_HARD) {
        Refuse(part, "found an external or symbolic link, expected the object itself");
      }
      if (end == std::string::npos) return;
    }
  }

  Handle OpenDataset(const std::string& object) const {
    RefuseForeignLinks(object);
    Handle dataset(H5Dopen2(file.get(), object.c_str(), H5P_DEFAULT), H5Dclose);
    if (!dataset.ok()) Refuse(object, "cannot be opened as a dataset: " + hdf5::LastReason());
    return dataset;
  }

  ElementType TypeOf(const Handle& dataset, const std::string& object) const {
    const Handle type(H5Dget_type(dataset.get()), H5Tclose);
    for (const ElementType known : kTypes) {
      if (H5Tequal(type.get(), hdf5::FileType(known)) > 0) return known;
    }
    Refuse(object, "found an element type that chain stores do not use");
  }

  std::int64_t CountOf(const Handle& dataset, const std::string& object) const {
    const Handle space(H5Dget_space(dataset.get()), H5Sclose);
    hsize_t count = 0;
    const int dimensions = H5Sget_simple_extent_ndims(space.get());
    if (dimensions != 1 || H5Sget_simple_extent_dims(space.get(), &count, nullptr) < 0 ||
        count > (hsize_t{1} << 48)) {
      Refuse(object, "found another shape, expected one dimension");
    }
    return static_cast<std::int64_t>(count);
  }

  Handle OpenAttribute(const std::string& object, const std::string& name) const {
    if (object != "/") RefuseForeignLinks(object);
    Handle attribute(
        H5Aopen_by_name(file.get(), object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose);
    if (!attribute.ok()) Refuse(object, "attribute " + name + " is missing");
    const Handle space(H5Aget_space(attribute.get()), H5Sclose);
    if (H5Sget_simple_extent_npoints(space.get()) != 1) {
      Refuse(object, "attribute " + name + " is not a single value");
    }
    return attribute;
  }
};

Hdf5Reader::Hdf5Reader(std::filesystem::path file)
    : impl_(new Impl{.path = file, .file = OpenFile(file)}) {}

Hdf5Reader::~Hdf5Reader() {
  const Session session;
  impl_->file.Close();
}

Hdf5Reader::Dataset Hdf5Reader::Describe(const std::string& path) const {
  const Session session;
  const Handle dataset = impl_->OpenDataset(path);
  Dataset result;
  result.type = impl_->TypeOf(dataset, path);
  result.count = impl_->CountOf(dataset, path);
  const Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose);
  const H5D_layout_t layout = H5Pget_layout(creation.get());
  if (layout == H5D_VIRTUAL) impl_->Refuse(path, "found a virtual dataset, which is refused");
  if (H5Pget_external_count(creation.get()) != 0) {
    impl_->Refuse(path, "found external storage, which is refused");
  }
  const haddr_t offset = H5Dget_offset(dataset.get());
  if (layout == H5D_CONTIGUOUS && offset != HADDR_UNDEF) result.file_offset = offset;
  return result;
}

void Hdf5Reader::Read(const std::string& path, void* out) const {
  const ElementType type = Describe(path).type;
  const Session session;
  const Handle dataset = impl_->OpenDataset(path);
  if (H5Dread(dataset.get(), hdf5::MemoryType(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0) {
    impl_->Refuse(path, "cannot be read: " + hdf5::LastReason());
  }
}

std::string Hdf5Reader::StringAttribute(const std::string& object, const std::string& name) const {
  const Session session;
  const Handle attribute = impl_->OpenAttribute(object, name);
  const Handle type(H5Aget_type(attribute.get()), H5Tclose);
  const std::size_t size = H5Tget_size(type.get());
  if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0 ||
      size > kMaxAttributeBytes) {
    impl_->Refuse(object, "attribute " + name + " is no string of fixed length");
  }
  std::string value(size, '\0');
  if (H5Aread(attribute.get(), type.get(), value.data()) < 0) {
    impl_->Refuse(object, "attribute " + name + " cannot be read: " + hdf5::LastReason());
  }
  value.resize(value.find('\0') == std::string::npos ? size : value.find('\0'));
  return value;
}

std::uint32_t Hdf5Reader::IntegerAttribute(const std::string& object,
                                           const std::string& name) const {
  const Session session;
  const Handle attribute = impl_->OpenAttribute(object, name);
  const Handle type(H5Aget_type(attribute.get()), H5Tclose);
  std::uint32_t value = 0;
  if (H5Tequal(type.get(), H5T_STD_U32LE) <= 0 ||
      H5Aread(attribute.get(), H5T_NATIVE_UINT32, &value) < 0) {
    impl_->Refuse(object, "attribute " + name + " is no 32-bit unsigned integer");
  }
  return value;
}

}  // namespace sequela
