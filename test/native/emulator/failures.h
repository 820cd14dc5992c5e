#pragma once
// The error state of the emulated device, and injected failures.

#include <string>

#include "cuda_runtime_api.h"

namespace eva::emulator {

/// Makes the n-th call of a function from now on fail. Besides the functions of the runtime: "allocation",
/// of any kind; "launch"; and "command", which runs on the device and loses it.
void fail_nth(const std::string& function, int n, cudaError_t with);
/// Withdraws the failure; whether it was still pending.
bool withdraw_failure(const std::string& function);

/// From now on every call fails, until the device is restored.
void lose_device(cudaError_t with);
void restore_device();

/// The calling thread's last error, without clearing it.
cudaError_t last_error();
cudaError_t take_last_error();

/// The result of a call that begins, or that fails for a reason of its own: it becomes the last error.
cudaError_t enter(const std::string& function);
cudaError_t result(cudaError_t status);

/// The error of a lost device.
cudaError_t device_status();
/// Whether the device fails in the next command of this kind.
bool device_fails_in(const std::string& what);

/// Objects and allocations that have not been freed, and those of them that were made on another device than
/// 0; the calling thread's current device.
void made(const void* object);
void destroyed(const void* object);
int alive();
int on_other_devices();
inline thread_local int current_device = 0;

}  // namespace eva::emulator
