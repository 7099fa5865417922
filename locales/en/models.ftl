## /models in the admin group

# $purpose - chat, vision, transcription or embedding
admin-models-head = { $model }: { $name } ({ $purpose })
# $state - in, drained or out; $back_s - in how many seconds an "out" one is looked at again
admin-models-replica = { $number }. { $url }: { $state ->
    [in] ✅ in service
    [drained] ⏸ drained
   *[out] ❌ out of service, next look in { DURATION($back_s) }
}
# $in_flight - requests that we have there, of $slots
admin-models-held = { "    " }{ $in_flight } of { $slots } slots taken, weight { $weight }
# By the server's own metrics
admin-models-load = { "    " }{ $running } running, { $waiting } waiting, KV { $kv_percent } %, { $tokens_per_s } tokens/s
admin-models-usage = /models — how the servers do
    /models drain ID NUMBER — give a server nothing new
    /models resume ID NUMBER — take it back in
    /models weight ID NUMBER WEIGHT — change its share of the load
    /models reload — read models.toml again
admin-models-none = There is no server { $number } of { $model }. /models lists them.
admin-models-drained = Server { $number } of { $model } finishes what it has and gets nothing new.
admin-models-resumed = Server { $number } of { $model } is back in service.
admin-models-weighed = Server { $number } of { $model } has weight { $weight } now.
admin-models-weight-range = The weight is a whole number from 1 to { $max }.
admin-models-reloaded = models.toml has been read again.
admin-models-added = New: { $models }
admin-models-changed = Changed: { $models }
admin-models-removed = Gone: { $models }. Open questions to them are answered by their fallback, or fail free of charge.
admin-models-unchanged = Nothing has changed in it.
admin-models-warning = ⚠️ { $warning }
# $mistake - file, line and what is wrong, in English
admin-models-mistake = Nothing has changed: there is a mistake in the file.
    { $mistake }
