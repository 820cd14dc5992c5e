/** The loss of CLIP; other losses are written from ops beside it. */
export { type ClipLoss, clipLoss } from "../ops/clip_loss";
