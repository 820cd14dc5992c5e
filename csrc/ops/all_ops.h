#pragma once

#include "ops/affine_sample.h"
#include "ops/attention.h"
#include "ops/clip_loss.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/keep_tokens.h"
#include "ops/l2_normalize.h"
#include "ops/layer_norm.h"
#include "ops/layout.h"
#include "ops/linear.h"
#include "ops/optimizer.h"
#include "ops/patch_embed.h"
#include "ops/random_fill.h"
#include "ops/reduce.h"
#include "ops/swiglu.h"

namespace eva::ops {

template <class... Op> struct op_list {};

/// All ops, one line per header.
using all_ops =
    op_list<affine_sample,                                                                   //
            attention, attention_backward,                                                   //
            clip_loss, clip_loss_backward,                                                   //
            add, subtract, multiply, divide, exp, log, sqrt, tanh, sigmoid, softplus, gelu,  //
            quick_gelu, gelu_backward, quick_gelu_backward, scale, cast, cast_update,        //
            embedding, embedding_backward,                                                   //
            keep_tokens, drop_path,                                                          //
            l2_normalize, l2_normalize_backward,                                             //
            layer_norm, layer_norm_backward,                                                 //
            transpose, concat, slice, pad, gather_rows, gather_rows_backward, mean_tokens,
            mean_tokens_backward,                                                                         //
            linear, linear_input_gradient, linear_weight_gradient, matmul,                                //
            global_norm, lamb_update, adamw_update, clamp_update, ema_update,                             //
            patch_rows, patch_projection, add_positions, add_positions_backward,                          //
            random_fill,                                                                                  //
            sum_leading, sum_last, expand, softmax, log_softmax, softmax_backward, log_softmax_backward,  //
            swiglu, swiglu_backward>;

}  // namespace eva::ops
