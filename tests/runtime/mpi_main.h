// main() of a test that runs on several ranks: every rank runs every test; a rank that fails tells.
#pragma once

#include <gtest/gtest.h>

#include "runtime/world.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  sequela::World& world = sequela::World::Start();
  if (world.rank() != 0) ::testing::GTEST_FLAG(brief) = true;  // failures only
  std::int64_t failed = RUN_ALL_TESTS();
  world.communicator().AllReduceMax({&failed, 1});
  world.Finalize();
  return static_cast<int>(failed);
}
