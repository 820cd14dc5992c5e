/**
 * Every `code` of an EvaClipError. Each comment says when it happens, then what to do; docs/errors.md is made of them by
 * `node scripts/errors_page.mjs`.
 */
export type ErrorCode =
  /**
   * An argument or option has a value that the function does not take. `details.field` names it.
   * Correct the call: the message says what is accepted, and what was found.
   */
  | "ERR_EVACLIP_INVALID_ARGUMENT"
  /**
   * A tensor has another shape, or an array another length, than an op, a program or a parameter takes.
   * Compare `details.expected` with `details.actual`; while a program is recorded, the stack shows the line of the op.
   */
  | "ERR_EVACLIP_SHAPE"
  /**
   * A model, device, program or parameter is used after `dispose`, or a parameter before it has memory.
   * Dispose later, or give the parameter memory with `allocate`.
   */
  | "ERR_EVACLIP_DISPOSED"
  /**
   * An op is called outside the function given to `compile`.
   * Move the call into that function, which must be synchronous.
   */
  | "ERR_EVACLIP_NOT_RECORDING"
  /**
   * `apply` names an op that does not exist.
   * Take a name from the type `OpName`.
   */
  | "ERR_EVACLIP_UNKNOWN_OP"
  /**
   * `grad` cannot differentiate: the loss does not depend on the operand, or an op between has no gradient rule.
   * Remove the operand from the list, or give the op a rule.
   */
  | "ERR_EVACLIP_NO_GRADIENT"
  /**
   * The addon for this platform is missing or cannot be loaded.
   * Follow the message: reinstall the package, or build the addon from its sources.
   */
  | "ERR_EVACLIP_NATIVE_NOT_FOUND"
  /**
   * `eva-clip build` cannot compile the package: a tool or a library is missing, or the compiler failed.
   * Install what the message lists, or correct what the compiler reports above it.
   */
  | "ERR_EVACLIP_BUILD"
  /**
   * The device asked for does not exist or cannot be opened; the message says why.
   * Open `cpu`, or `auto`, which takes the CPU where CUDA is unavailable. `eva-clip doctor` shows what is missing.
   */
  | "ERR_EVACLIP_NO_DEVICE"
  /**
   * The GPU failed; nothing in the process can use it any more.
   * Start a new process. `EVA_CLIP_CUDA_SYNC=1` names the op at fault.
   */
  | "ERR_EVACLIP_DEVICE_LOST"
  /**
   * The GPU refused one command.
   * Report it with the message, which names the op and its operands.
   */
  | "ERR_EVACLIP_GPU"
  /**
   * oneDNN or cuBLASLt reported a failure.
   * Report it with the message; for cuBLASLt, check that its version fits the driver.
   */
  | "ERR_EVACLIP_LIBRARY"
  /**
   * A model, an optimizer, a program or an array needs more memory than is free. Nothing of it was allocated.
   * Compare `details.needed` with `details.free`, in bytes; use a smaller batch or model, or bf16.
   */
  | "ERR_EVACLIP_OUT_OF_MEMORY"
  /**
   * No published model has this name.
   * Take a name from `knownModels()`; the message suggests the nearest.
   */
  | "ERR_EVACLIP_UNKNOWN_MODEL"
  /**
   * The hub has no such repository, revision or file, or no weights that are recognized. `details` names what was asked for.
   * Correct the name; name the file as `hf-hub:OWNER/NAME/FILE`.
   */
  | "ERR_EVACLIP_HUB_NOT_FOUND"
  /**
   * The hub does not show a repository, because it is private, gated or does not exist. `details.status` is its answer.
   * Set `HF_TOKEN` to a token that may read it, or log in with `hf auth login`; for a gated one, request access on its page.
   */
  | "ERR_EVACLIP_HUB_DENIED"
  /**
   * The hub does not answer, or not in time, and the cache does not have the files.
   * Check the connection and `HF_ENDPOINT`, and try again: a download continues where it was cut.
   */
  | "ERR_EVACLIP_HUB_UNAVAILABLE"
  /**
   * A model's configuration is inconsistent, incomplete or of an architecture that is not supported.
   * Correct the field that the message names, or pass the configuration as `config`.
   */
  | "ERR_EVACLIP_INVALID_CONFIG"
  /**
   * A model was trained with another tokenizer than CLIP's.
   * Pass its tokenizer as `tokenizer`.
   */
  | "ERR_EVACLIP_TOKENIZER"
  /**
   * Data cannot be used: a sample, a caption, a token id, a cursor, a data set without classes.
   * Correct the data that the message names. In `Sample.read()`, throw a SampleError to skip the sample.
   */
  | "ERR_EVACLIP_DATA"
  /**
   * An embedding, a score, a vector or a parameter holds NaN or infinity.
   * Check the weights, or compute in f32; `details` names the sample or the parameter.
   */
  | "ERR_EVACLIP_NOT_FINITE"
  /**
   * The loss or the norm of the gradients became NaN or infinite in training. The parameters are those of the step before.
   * Lower the learning rate, warm up longer, or clip gradients; resume from the checkpoint.
   */
  | "ERR_EVACLIP_NAN_LOSS"
  /**
   * A file is damaged, cut short, or not of the format that it claims.
   * Download or write it again.
   */
  | "ERR_EVACLIP_CHECKPOINT_CORRUPT"
  /**
   * Weights do not fit the model, or a checkpoint does not fit the run that resumes it.
   * Compare the names and shapes in the message; state `config`, or choose between raw and averaged weights with `ema`.
   */
  | "ERR_EVACLIP_CHECKPOINT_MISMATCH"
  /**
   * A PyTorch file asks for code to be run. None was.
   * Convert it to safetensors where you trust it.
   */
  | "ERR_EVACLIP_CHECKPOINT_UNSAFE"
  /**
   * A file has a format or a kind of tensor that is not read.
   * Follow the message, which says how to convert it.
   */
  | "ERR_EVACLIP_CHECKPOINT_UNSUPPORTED"
  /**
   * A new run would mix with the checkpoints or metrics of another one.
   * Resume that run, or choose another folder.
   */
  | "ERR_EVACLIP_RUN_EXISTS"
  /**
   * An index is continued or searched with another model than the one that embedded it, or holds another folder's images.
   * Use the model that the message names, or build another index.
   */
  | "ERR_EVACLIP_INDEX_MISMATCH"
  /**
   * Another process trains in the folder or writes the index. `details.pid` is its process where it is known.
   * Wait for it, stop it, or choose another path.
   */
  | "ERR_EVACLIP_RUN_ACTIVE"
  /**
   * A batcher has as many samples waiting as `maxQueue` allows, because calls arrive faster than the device computes.
   * Try again later, or send fewer calls at a time.
   */
  | "ERR_EVACLIP_QUEUE_FULL"
  /**
   * `TrainingRun.stop()` was called: the reason that the signal given to `evaluate.run` is aborted with.
   * Return from the evaluation, or let it reject.
   */
  | "ERR_EVACLIP_ABORTED"
  /**
   * The system failed to read or write a file. `cause` is its error.
   * Check the path and its permissions.
   */
  | "ERR_EVACLIP_IO"
  /**
   * The disk, or the quota on it, is full. What was being written is removed; older checkpoints are whole.
   * Free space, then resume.
   */
  | "ERR_EVACLIP_DISK_FULL"
  /**
   * An optional package that a feature needs is not installed. `details.package` names it.
   * Install it with the command in the message.
   */
  | "ERR_EVACLIP_PACKAGE_MISSING"
  /**
   * A server cannot listen at its address: the port is in use or reserved, or the host is not of this machine.
   * Choose another host or port; the message says which is at fault.
   */
  | "ERR_EVACLIP_LISTEN"
  /**
   * The target of an export cannot be reached, refuses the entries, or holds vectors of another length.
   * Follow the message; then run the export again, which overwrites what is there by id.
   */
  | "ERR_EVACLIP_EXPORT"
  /**
   * A defect of this package.
   * Report it with the message.
   */
  | "ERR_EVACLIP_INTERNAL";
