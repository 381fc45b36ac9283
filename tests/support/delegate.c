/* A TFLite delegate that behaves as it is told when it is compiled.
 *
 *   -DAT_LOAD=...     FINE, REFUSE, CRASH or HANG when it is created
 *   -DCLAIM=0         claims no operator; 1: claims every edgetpu-custom-op
 *   -DAT_INVOKE=...   FINE, FAIL, CRASH or HANG when a claimed operator runs
 *   -DAFTER=n         only from the n-th run on (0: from the first)
 *
 * What it claims fills its outputs with bytes 0x3f: 0.747 as a float.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tflite_abi.h"

#define FINE 0
#define REFUSE 1
#define FAIL 1
#define CRASH 2
#define HANG 3

#ifndef AT_LOAD
#define AT_LOAD FINE
#endif
#ifndef CLAIM
#define CLAIM 1
#endif
#ifndef AT_INVOKE
#define AT_INVOKE FINE
#endif
#ifndef AFTER
#define AFTER 0
#endif

static int runs;

static void suffer(int what) {
  if (what == CRASH) abort();
  while (what == HANG) pause();
}

static void *init(Context *context, const char *buffer, size_t length) { return &runs; }

static void let_go(Context *context, void *buffer) {}

static Status prepare_kernel(Context *context, Node *node) { return OK; }

static Status invoke(Context *context, Node *node) {
  if (runs++ >= AFTER) {
    suffer(AT_INVOKE);
    if (AT_INVOKE == FAIL) {
      context->report_error(context, "the device is gone");
      return ERROR;
    }
  }
  for (int i = 0; i < node->outputs->size; i++) {
    Tensor *tensor = &context->tensors[node->outputs->data[i]];
    memset(tensor->data, 0x3f, tensor->bytes);
  }
  return OK;
}

static Status prepare(Context *context, Delegate *delegate) {
  IntArray *plan;
  if (context->get_execution_plan(context, &plan) != OK) return ERROR;
  IntArray *claimed = malloc(sizeof(int) * (plan->size + 1));
  claimed->size = 0;
  for (int i = 0; CLAIM && i < plan->size; i++) {
    Node *node;
    Registration *found;
    if (context->get_node(context, plan->data[i], &node, &found) != OK) return ERROR;
    if (found->custom_name && strcmp(found->custom_name, "edgetpu-custom-op") == 0)
      claimed->data[claimed->size++] = plan->data[i];
  }
  Registration kernel = {.init = init,
                         .free = let_go,
                         .prepare = prepare_kernel,
                         .invoke = invoke,
                         .custom_name = "test delegate",
                         .version = 1};
  Status status = OK;
  if (claimed->size) status = context->replace_nodes(context, kernel, claimed, delegate);
  free(claimed);
  return status;
}

static Delegate delegate = {.prepare = prepare, .flags = ALLOW_DYNAMIC_TENSORS};

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                        void (*report_error)(const char *)) {
  suffer(AT_LOAD);
  if (AT_LOAD == REFUSE) {
    report_error("no device for me");
    return NULL;
  }
  return &delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) {}
