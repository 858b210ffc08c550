//! The operations, listed once for all who offer them under their own type.

/// Hands the list of operations to a macro that makes methods of them: `name(arguments) -> type`,
/// each [`Client`](crate::sftp::Client)'s method of that name.
#[doc(hidden)]
#[macro_export]
macro_rules! sftp_verbs {
    ($methods:ident) => {
        $methods! {
            /// What is known of a file; of what a link leads to.
            stat(path: impl AsRef<Path> + Send) -> Metadata;
            /// What is known of a file; of a link itself.
            lstat(path: impl AsRef<Path> + Send) -> Metadata;
            /// Whether there is something of that name; where a link leads nowhere, there is not.
            exists(path: impl AsRef<Path> + Send) -> bool;
            /// What is in a directory, but for `.` and `..`, in the server's order.
            list(path: impl AsRef<Path> + Send) -> Vec<Entry>;
            /// All that is below a directory, each directory before what is in it. Links are not
            /// followed.
            walk(path: impl AsRef<Path> + Send) -> Vec<Entry>;
            /// All that is in a file, up to [`Bounds::bytes`].
            read(path: impl AsRef<Path> + Send) -> Vec<u8>;
            /// All that is in a file, which must be UTF-8.
            read_text(path: impl AsRef<Path> + Send) -> String;
            /// Up to so many bytes of a file, from an offset on; fewer only at its end.
            read_at(path: impl AsRef<Path> + Send, offset: u64, length: u64) -> Vec<u8>;
            /// Makes these the content of a file, which is created where there is none.
            write(path: impl AsRef<Path> + Send, content: impl AsRef<[u8]> + Send) -> ();
            /// As [`write`](Self::write), but a file of that name is an error of kind
            /// `AlreadyExists`.
            write_new(path: impl AsRef<Path> + Send, content: impl AsRef<[u8]> + Send) -> ();
            /// Writes these into a file from an offset on, and leaves the rest of it as it is.
            write_at(
                path: impl AsRef<Path> + Send,
                offset: u64,
                content: impl AsRef<[u8]> + Send
            ) -> ();
            /// Writes these to the end of a file, as its size says. Two that do this at once may
            /// overwrite each other.
            append(path: impl AsRef<Path> + Send, content: impl AsRef<[u8]> + Send) -> ();
            /// Makes these the content of a file at once: whoever reads it sees what was there
            /// before or all of this. It keeps its permissions, and a link what it leads to.
            replace(path: impl AsRef<Path> + Send, content: impl AsRef<[u8]> + Send) -> ();
            /// Opens a file, which stays open until it is dropped.
            open(path: impl AsRef<Path> + Send, options: &OpenOptions) -> OpenFile;
            /// Up to so many bytes of an open file, from an offset on; fewer only at its end.
            read_file(file: &OpenFile, offset: u64, length: u64) -> Vec<u8>;
            /// Writes these into an open file from an offset on, and waits until all is there. Where
            /// it was opened to [append](OpenOptions::append), they go to its end.
            write_file(file: &OpenFile, offset: u64, content: impl AsRef<[u8]> + Send) -> ();
            /// What is known of an open file.
            stat_file(file: &OpenFile) -> Metadata;
            /// Cuts an open file to this length, or fills it up with zeros.
            set_file_size(file: &OpenFile, size: u64) -> ();
            /// Waits until the server has an open file on its disk (`fsync@openssh.com`).
            sync_file(file: &OpenFile) -> ();
            /// Closes a file and hears whether all went well, which some file systems only say
            /// then.
            close_file(file: &OpenFile) -> ();
            /// Makes a directory.
            mkdir(path: impl AsRef<Path> + Send) -> ();
            /// Makes a directory and those above it; one that is there already will do.
            mkdir_all(path: impl AsRef<Path> + Send) -> ();
            /// Removes a file or a link.
            remove(path: impl AsRef<Path> + Send) -> ();
            /// Removes an empty directory.
            remove_dir(path: impl AsRef<Path> + Send) -> ();
            /// Removes a directory and all that is in it. Links are removed, and not followed.
            remove_all(path: impl AsRef<Path> + Send) -> ();
            /// Renames a file or directory. A file that has the new name is replaced, at once, where
            /// the server knows `posix-rename@openssh.com`; elsewhere that is an error.
            rename(from: impl AsRef<Path> + Send, to: impl AsRef<Path> + Send) -> ();
            /// Makes a link at `link` that leads to `target`.
            symlink(target: impl AsRef<Path> + Send, link: impl AsRef<Path> + Send) -> ();
            /// Gives a file another name (`hardlink@openssh.com`).
            hard_link(original: impl AsRef<Path> + Send, link: impl AsRef<Path> + Send) -> ();
            /// Where a link leads, as it is written there.
            read_link(path: impl AsRef<Path> + Send) -> PathBuf;
            /// The path from the root, without links on the way.
            real_path(path: impl AsRef<Path> + Send) -> PathBuf;
            /// Sets permissions, such as `0o640`; at most `0o7777`.
            set_permissions(path: impl AsRef<Path> + Send, permissions: u32) -> ();
            /// Sets the owner, by number: user and group.
            set_owner(path: impl AsRef<Path> + Send, user: u32, group: u32) -> ();
            /// Sets when the file was last read and last changed, in whole seconds from 1970 to 2106.
            set_times(path: impl AsRef<Path> + Send, read: SystemTime, changed: SystemTime) -> ();
            /// Cuts a file to this length, or fills it up with zeros.
            set_size(path: impl AsRef<Path> + Send, size: u64) -> ();
            /// What is known of the file system that a path is on (`statvfs@openssh.com`).
            stat_fs(path: impl AsRef<Path> + Send) -> FileSystem;
            /// Transfers a file, or a directory with all that is in it, from this machine to the
            /// server. `remote` is what it is to be named there, not a directory to put it in. What
            /// goes wrong with a single file of a directory is in the report, and no error.
            upload(
                local: impl AsRef<Path> + Send,
                remote: impl AsRef<Path> + Send,
                transfer: &Transfer
            ) -> Report;
            /// Transfers a file, or a directory with all that is in it, from the server to this
            /// machine. `local` is what it is to be named here, not a directory to put it in, and
            /// nothing is written outside it, whatever the server says. What goes wrong with a
            /// single file of a directory is in the report, and no error.
            download(
                remote: impl AsRef<Path> + Send,
                local: impl AsRef<Path> + Send,
                transfer: &Transfer
            ) -> Report;
        }
    };
}
