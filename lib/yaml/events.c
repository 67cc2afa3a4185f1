/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/yaml/events.h"

enum status yaml_events_refuse(slice source, const yaml_parser_t *p,
                               struct error *e)
{
    const char *why = p->problem ? p->problem : "not YAML";

    if (p->error == YAML_MEMORY_ERROR)
        return error_set(e, ERR_RESOURCES, "%.*s: no memory", FMT(source));
    /* The bytes are no characters: libyaml knows the offset only. */
    if (p->error == YAML_READER_ERROR)
        return error_set(e, ERR_INVALID, "%.*s: %s at byte %zu", FMT(source),
                         why, p->problem_offset);
    return error_set(e, ERR_INVALID, "%.*s:%zu:%zu: %s%s%s", FMT(source),
                     p->problem_mark.line + 1, p->problem_mark.column + 1, why,
                     p->context ? ", " : "", p->context ? p->context : "");
}

size_t yaml_events_input(yaml_parser_t *p, slice text)
{
    /* libyaml would count it as a column of the first line. */
    size_t bom = slice_starts(text, SLICE("\xef\xbb\xbf")) ? 3 : 0;

    text = slice_sub(text, bom, text.len);
    yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        p, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
    return bom;
}

static enum status read_events(yaml_parser_t *parser, slice source,
                               yaml_event_fn *fn, void *arg, struct error *e)
{
    bool more = true;

    while (more) {
        yaml_event_t ev;
        enum status rc;
        if (!yaml_parser_parse(parser, &ev))
            return yaml_events_refuse(source, parser, e);
        rc = fn(arg, &ev);
        more = ev.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&ev);
        if (rc)
            return rc;
    }
    return OK;
}

/* libyaml compares each %TAG with all before it: a file of them takes minutes.
 * Counted wherever they stand, since no manifest says it even once. */
static bool many_tag_directives(slice text)
{
    enum { TAG_DIRECTIVES_MAX = 32 };
    const slice tag = SLICE("%TAG");
    int count = 0;

    while (text.len && count <= TAG_DIRECTIVES_MAX) {
        const char *hit = memmem(text.ptr, text.len, tag.ptr, tag.len);
        if (!hit)
            return false;
        count++;
        text = slice_sub(text, (size_t)(hit - text.ptr) + tag.len, text.len);
    }
    return count > TAG_DIRECTIVES_MAX;
}

enum status yaml_events_read(slice text, slice source, size_t max,
                             yaml_event_fn *fn, void *arg, struct error *e)
{
    yaml_parser_t parser;
    enum status rc;

    if (text.len > max)
        return error_set(e, ERR_TOO_BIG, "%.*s: %zu bytes, of at most %zu",
                         FMT(source), text.len, max);
    if (many_tag_directives(text))
        return error_set(e, ERR_TOO_BIG, "%.*s: too many %%TAG directives",
                         FMT(source));
    if (!yaml_parser_initialize(&parser))
        return error_set(e, ERR_RESOURCES, "%.*s: no memory", FMT(source));
    (void)yaml_events_input(&parser, text);
    rc = read_events(&parser, source, fn, arg, e);
    yaml_parser_delete(&parser);
    return rc;
}
