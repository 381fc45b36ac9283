/* What a TFLite delegate plug-in must know of the runtime's structures.
 *
 * Members stand in the order and with the sizes of TFLite's public C interface, up to the last one
 * that the test delegate touches. Both runtimes that edgepose knows agree on this much.
 */
#ifndef TFLITE_ABI_H
#define TFLITE_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { OK = 0, ERROR = 1 } Status;

typedef struct {
  int size;
  int data[];
} IntArray;

struct Delegate;

typedef struct {
  int type;
  void *data;
  IntArray *dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  struct Delegate *delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void *params;
  } quantization;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;

typedef struct {
  IntArray *inputs;
  IntArray *outputs;
  IntArray *intermediates;
  IntArray *temporaries;
  void *user_data;
} Node; /* more follows */

struct Registration;

typedef struct Context {
  size_t tensors_size;
  Status (*get_execution_plan)(struct Context *, IntArray **plan);
  Tensor *tensors;
  void *impl;
  void *resize_tensor;
  void (*report_error)(struct Context *, const char *message, ...);
  void *add_tensors;
  Status (*get_node)(struct Context *, int index, Node **, struct Registration **);
  Status (*replace_nodes)(struct Context *, struct Registration, const IntArray *nodes,
                          struct Delegate *);
} Context; /* more follows */

typedef struct Registration {
  void *(*init)(Context *, const char *buffer, size_t length);
  void (*free)(Context *, void *buffer);
  Status (*prepare)(Context *, Node *);
  Status (*invoke)(Context *, Node *);
  void *profiling_string;
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external;
  void *async_kernel;
  uint64_t inplace_operator; /* newer runtimes only; older ones do not look here */
} Registration;

typedef struct Delegate {
  void *data;
  Status (*prepare)(Context *, struct Delegate *);
  void *copy_from_buffer;
  void *copy_to_buffer;
  void *free_buffer;
  int64_t flags;
  void *opaque;
} Delegate;

#define ALLOW_DYNAMIC_TENSORS 1

#endif
