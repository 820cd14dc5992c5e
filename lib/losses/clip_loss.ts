/** CLIP's loss is a fused op; the other losses of this folder are composed of ops. */
export { type ClipLoss, clipLoss } from "../ops/clip_loss";
