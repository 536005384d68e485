#include "tests/testing/hdf5_tampering.h"

#include <hdf5.h>

#include <stdexcept>
#include <vector>

namespace sequela::testing {
namespace {

hid_t OpenForWriting(const std::filesystem::path& file) {
  const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  if (id < 0) throw std::runtime_error("cannot open " + file.string());
  return id;
}

// The same elements and attribute "crc32c" under other creation properties.
void Recreate(const std::filesystem::path& path, const std::string& dataset, hid_t creation,
              bool write_elements) {
  const hid_t file = OpenForWriting(path);
  const hid_t old = H5Dopen2(file, dataset.c_str(), H5P_DEFAULT);
  const hid_t space = H5Dget_space(old);
  const hid_t type = H5Dget_type(old);
  std::vector<char> elements(H5Tget_size(type) *
                             static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
  H5Dread(old, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements.data());
  unsigned crc = 0;
  const hid_t old_crc = H5Aopen(old, "crc32c", H5P_DEFAULT);
  H5Aread(old_crc, H5T_NATIVE_UINT, &crc);
  H5Aclose(old_crc);
  H5Dclose(old);
  H5Ldelete(file, dataset.c_str(), H5P_DEFAULT);
  const hid_t made =
      H5Dcreate2(file, dataset.c_str(), type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  if (made < 0) throw std::runtime_error("cannot recreate " + dataset);
  if (write_elements) H5Dwrite(made, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements.data());
  const hid_t scalar = H5Screate(H5S_SCALAR);
  const hid_t attribute =
      H5Acreate2(made, "crc32c", H5T_STD_U32LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, H5T_NATIVE_UINT, &crc);
  H5Aclose(attribute);
  H5Sclose(scalar);
  H5Dclose(made);
  H5Tclose(type);
  H5Sclose(space);
  H5Fclose(file);
}

hsize_t CountOf(const std::filesystem::path& path, const std::string& dataset) {
  const hid_t file = OpenForWriting(path);
  const hid_t old = H5Dopen2(file, dataset.c_str(), H5P_DEFAULT);
  const hid_t space = H5Dget_space(old);
  const auto count = static_cast<hsize_t>(H5Sget_simple_extent_npoints(space));
  H5Sclose(space);
  H5Dclose(old);
  H5Fclose(file);
  return count;
}

}  // namespace

void ReplaceByExternalLink(const std::filesystem::path& path, const std::string& dataset) {
  const hid_t file = OpenForWriting(path);
  H5Ldelete(file, dataset.c_str(), H5P_DEFAULT);
  H5Lcreate_external("other.h5", "/value", file, dataset.c_str(), H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
}

void HideBehindSoftLink(const std::filesystem::path& path, const std::string& group) {
  const hid_t file = OpenForWriting(path);
  H5Lmove(file, group.c_str(), file, "/hidden", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_soft("/hidden", file, group.c_str(), H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
}

void ReplaceByExternalStorage(const std::filesystem::path& path, const std::string& dataset) {
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_external(creation, "/etc/passwd", 0, H5F_UNLIMITED);
  Recreate(path, dataset, creation, false);
  H5Pclose(creation);
}

void ReplaceByVirtualDataset(const std::filesystem::path& path, const std::string& dataset) {
  const hsize_t count = CountOf(path, dataset);
  const hid_t space = H5Screate_simple(1, &count, nullptr);
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_virtual(creation, space, "other.h5", "/value", space);
  Recreate(path, dataset, creation, false);
  H5Pclose(creation);
  H5Sclose(space);
}

void ReplaceByChunks(const std::filesystem::path& path, const std::string& dataset) {
  const hsize_t chunk = 7;
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 1, &chunk);
  Recreate(path, dataset, creation, true);
  H5Pclose(creation);
}

}  // namespace sequela::testing
