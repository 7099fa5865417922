## /models в группе администраторов

# $purpose - chat, vision, transcription или embedding
admin-models-head = { $model }: { $name } ({ $purpose })
# $state - in, drained или out; $back_s - через сколько секунд снова проверим сервер, который не работает
admin-models-replica = { $number }. { $url }: { $state ->
    [in] ✅ работает
    [drained] ⏸ выведен
   *[out] ❌ не отвечает, проверим через { DURATION($back_s) }
}
# $in_flight - наших запросов на нём, из $slots
admin-models-held = { "    " }занято мест: { $in_flight } из { $slots }, вес { $weight }
# По метрикам самого сервера
admin-models-load = { "    " }в работе { $running }, ждут { $waiting }, KV { $kv_percent } %, { $tokens_per_s } ток./с
admin-models-usage = /models — как дела у серверов
    /models drain ID НОМЕР — не давать серверу нового
    /models resume ID НОМЕР — вернуть в работу
    /models weight ID НОМЕР ВЕС — изменить долю нагрузки
    /models reload — перечитать models.toml
admin-models-none = У модели { $model } нет сервера { $number }. Список покажет /models.
admin-models-drained = Сервер { $number } модели { $model } закончит начатое, нового не получит.
admin-models-resumed = Сервер { $number } модели { $model } снова в работе.
admin-models-weighed = Вес сервера { $number } модели { $model } теперь { $weight }.
admin-models-weight-range = Вес — целое число от 1 до { $max }.
admin-models-reloaded = models.toml перечитан.
admin-models-added = Новые: { $models }
admin-models-changed = Изменились: { $models }
admin-models-removed = Больше нет: { $models }. На открытые вопросы к ним ответит запасная модель; если её нет, они закроются бесплатно.
admin-models-unchanged = В нём ничего не изменилось.
admin-models-warning = ⚠️ { $warning }
# $mistake - файл, строка и что не так, по-английски
admin-models-mistake = Ничего не изменилось: в файле ошибка.
    { $mistake }
