/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive, circular, doubly linked list. A node that is in no list points at
 * itself, so removing twice is harmless. */
#ifndef TULLE_BASE_LIST_H
#define TULLE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

#define LIST_INIT(l) \
    {                \
        &(l), &(l)   \
    }
#define CONTAINER_OF(ptr, type, member) \
    ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_insert_after(struct list *at, struct list *node)
{
    node->prev = at;
    node->next = at->next;
    at->next->prev = node;
    at->next = node;
}
static inline void list_push_front(struct list *l, struct list *node)
{
    list_insert_after(l, node);
}
static inline void list_push_back(struct list *l, struct list *node)
{
    list_insert_after(l->prev, node);
}
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = node;
}
/* The first node, removed; NULL when empty. */
static inline struct list *list_pop_front(struct list *l)
{
    struct list *node = l->next;
    if (node == l)
        return NULL;
    list_remove(node);
    return node;
}
/* Moves all nodes of `from` to the empty list `to`. */
static inline void list_take(struct list *to, struct list *from)
{
    if (list_empty(from)) {
        list_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

/* The body may remove `node`, but no other node. */
#define LIST_EACH(node, l)                                         \
    for (struct list *node = (l)->next, *node##_next = node->next; \
         node != (l); node = node##_next, node##_next = node->next)

#endif
