# Made by `trunkline reference completion`; `make docs` writes it.
_trunkline() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local words="" commands="init run snapshot tear-down destroy plan status check verify demo config help version"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ] || [ "$before" = help ]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
        return
    fi
    if [ "$before" = config ] && [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W print -- "$word")
        return
    fi
    case $before in
    -c | --config)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    --mode) words="auto snapshot replication snapshot_and_replication" ;;
    --initial-snapshot) words="unset false true" ;;
    --snapshot-mode) words="full schema data" ;;
    --tables-without-identity) words="error insert_only full" ;;
    --disable-triggers) words="auto true false" ;;
    --on-conflict-action) words="error update nothing" ;;
    --on-apply-error) words="stop park" ;;
    --apply-mode) words="sets ordered" ;;
    --max-slot-wal-action) words="stop drop" ;;
    --log-level) words="trace debug info warn error fatal panic" ;;
    --log-format) words="logfmt json console" ;;
    --progress) words="auto on off" ;;
    esac
    [ -n "$words" ] || case ${COMP_WORDS[1]} in
    init) words="--source --pgurl --postgres-url --slot --replication-slot --tables --keeper-schema --publication-name --mode --initial-snapshot --snapshot-store --schema-log-store --excluded-tables --tables-without-identity --identity-lock-timeout --connect-timeout --tcp-user-timeout --log-level --log-format --config --help" ;;
    run) words="--source --pgurl --postgres-url --target --slot --replication-slot --tables --until --keeper-schema --publication-name --mode --initial-snapshot --snapshot-store --schema-log-store --excluded-tables --schema-only-tables --snapshot-mode --snapshot-workers --schema-workers --table-workers --batch-page-size --max-rate --no-owner --no-privileges --large-objects --no-refresh --resumable --copiers --part-size --index-memory --pg-bindir --tables-without-identity --identity-lock-timeout --disable-triggers --on-conflict-action --on-apply-error --resync --apply-mode --publish-via-root --sequence-sync-interval --heartbeat-interval --group-max-changes --group-max-bytes --group-max-time --queue-bytes --logical-decoding-work-mem --streaming --apply-ahead --spill-memory --spill-dir --idle-position-interval --max-slot-wal --max-slot-wal-action --connect-timeout --reconnect-timeout --tcp-user-timeout --listen --log-level --log-format --progress --config --help" ;;
    snapshot) words="--source --pgurl --postgres-url --target --slot --replication-slot --tables --keeper-schema --snapshot-store --schema-log-store --excluded-tables --schema-only-tables --snapshot-mode --schema-only --data-only --snapshot-workers --schema-workers --table-workers --batch-page-size --max-rate --no-owner --no-privileges --large-objects --no-refresh --resumable --reset --yes --copiers --part-size --index-memory --pg-bindir --disable-triggers --publish-via-root --max-slot-wal --max-slot-wal-action --connect-timeout --reconnect-timeout --tcp-user-timeout --log-level --log-format --progress --config --help" ;;
    tear-down | destroy) words="--source --pgurl --postgres-url --target --slot --replication-slot --keeper-schema --mode --initial-snapshot --snapshot-store --schema-log-store --connect-timeout --tcp-user-timeout --log-level --log-format --config --help" ;;
    plan) words="--source --pgurl --postgres-url --target --slot --replication-slot --tables --keeper-schema --publication-name --mode --initial-snapshot --snapshot-store --schema-log-store --excluded-tables --schema-only-tables --snapshot-mode --snapshot-workers --schema-workers --table-workers --batch-page-size --max-rate --no-owner --no-privileges --large-objects --no-refresh --resumable --copiers --part-size --index-memory --pg-bindir --tables-without-identity --disable-triggers --publish-via-root --connect-timeout --tcp-user-timeout --log-level --log-format --json --config --help" ;;
    status) words="--source --pgurl --postgres-url --target --slot --replication-slot --tables --keeper-schema --publication-name --mode --initial-snapshot --snapshot-store --schema-log-store --excluded-tables --schema-only-tables --resumable --running --max-slot-wal --connect-timeout --tcp-user-timeout --log-level --log-format --json --config --help" ;;
    check) words="--source --pgurl --postgres-url --target --slot --replication-slot --tables --until --keeper-schema --publication-name --mode --initial-snapshot --snapshot-store --schema-log-store --excluded-tables --schema-only-tables --snapshot-mode --snapshot-workers --schema-workers --table-workers --batch-page-size --max-rate --no-owner --no-privileges --large-objects --no-refresh --resumable --copiers --part-size --index-memory --pg-bindir --tables-without-identity --identity-lock-timeout --disable-triggers --on-conflict-action --on-apply-error --apply-mode --publish-via-root --sequence-sync-interval --heartbeat-interval --group-max-changes --group-max-bytes --group-max-time --queue-bytes --logical-decoding-work-mem --streaming --apply-ahead --spill-memory --spill-dir --idle-position-interval --max-slot-wal --max-slot-wal-action --connect-timeout --reconnect-timeout --tcp-user-timeout --listen --log-level --log-format --progress --json --config --help" ;;
    verify) words="--source --pgurl --postgres-url --target --tables --keeper-schema --snapshot-store --excluded-tables --schema-only-tables --schema-only --publish-via-root --connect-timeout --tcp-user-timeout --log-level --log-format --schema --json --config --help" ;;
    demo) words="--pg-bindir --log-level --log-format --progress --scale --kill --break --keep --config --help" ;;
    config) words="--source --pgurl --postgres-url --target --slot --replication-slot --tables --until --keeper-schema --publication-name --mode --initial-snapshot --snapshot-store --schema-log-store --excluded-tables --schema-only-tables --snapshot-mode --snapshot-workers --schema-workers --table-workers --batch-page-size --max-rate --no-owner --no-privileges --large-objects --no-refresh --resumable --copiers --part-size --index-memory --pg-bindir --tables-without-identity --identity-lock-timeout --disable-triggers --on-conflict-action --on-apply-error --apply-mode --publish-via-root --sequence-sync-interval --heartbeat-interval --group-max-changes --group-max-bytes --group-max-time --queue-bytes --logical-decoding-work-mem --streaming --apply-ahead --spill-memory --spill-dir --idle-position-interval --max-slot-wal --max-slot-wal-action --connect-timeout --reconnect-timeout --tcp-user-timeout --listen --log-level --log-format --progress --json --config --help" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o filenames -F _trunkline trunkline pgstream
